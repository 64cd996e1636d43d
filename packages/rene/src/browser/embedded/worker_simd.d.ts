/** The worker's script, gzip and base64; written by scripts/build_browser.mjs. */
declare const script: string;
export default script;
