/** kernels.wasm, gzipped, in base64. Written by scripts/embed_assets.mjs. */
declare const base64: string;
export default base64;
