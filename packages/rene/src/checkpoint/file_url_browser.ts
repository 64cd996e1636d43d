// What stands in for file_url.ts in a page, which has no files: what would open them refuses.
export const pathOf = (name: string | URL, _expected: string): string => String(name);
