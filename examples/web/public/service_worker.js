// Keeps the page's own files, so that it opens without a network. Models are kept by the library.
const CACHE = 'page';
/** All files of the page. The build fills the list, see vite.config.js. */
const FILES = [];

addEventListener('install', () => skipWaiting());
// Chromium compiles all scripts that are kept while a service worker is installed, for seconds.
addEventListener('activate', (event) => event.waitUntil(keepFiles()));
addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const isOwn = request.method === 'GET' && url.origin === location.origin;
  if (isOwn && !url.pathname.includes('/models/')) event.respondWith(answer(request));
});

/** Controls the page once all its files are kept. */
async function keepFiles() {
  await (await caches.open(CACHE)).addAll(FILES);
  await clients.claim();
}

/** From the network, else what was kept. */
async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}
