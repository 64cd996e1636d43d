/** The text of worker_browser.js. Written by scripts/embed_assets.mjs. */
declare const source: string;
export default source;
