// Replaces file_url.ts in a page. It throws, since a page has no local files.
export const pathOf = (name: string | URL, _expected: string): string => String(name);
