// Stacks of failed tests name lines of TypeScript. Not by the option of node: threads would inherit it, and
// read the maps of every file that they load.
process.setSourceMapsEnabled(true);
