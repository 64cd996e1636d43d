// Keeps the page's own files, so that it opens without a network. Models are kept by the library.
const CACHE = 'page';

addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const isOwn = request.method === 'GET' && url.origin === location.origin;
  if (isOwn && !url.pathname.includes('/models/')) event.respondWith(answer(request));
});

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
