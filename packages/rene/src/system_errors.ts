// Texts for errors of the operating system. No imports, so that errors can be reported at startup.

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EBUSY: 'it is in use',
  EDQUOT: 'the disk quota is used up',
  EEXIST: 'a file of this name is in the way, expected a folder',
  EFBIG: 'the file system takes no file of this size',
  EINVAL: 'the file system refuses it',
  EIO: 'the disk reports an input/output error',
  EISDIR: 'it is a folder, expected a file',
  ELOOP: 'its symbolic links form a loop',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENFILE: 'too many open files',
  ENOENT: 'no such file or folder',
  ENOSPC: 'no space left on the device',
  ENOTDIR: 'a part of the path is a file, expected a folder',
  ENOTEMPTY: 'a folder of this name is in the way',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
};

/** The code of an operating system error, such as 'ENOSPC'; undefined for other errors. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The reason of an operating system error: 'no space left on the device (ENOSPC)'. */
export function systemReason(error: unknown): string {
  const code = systemCode(error);
  if (code !== undefined) return `${reasons[code] ?? 'the system refuses it'} (${code})`;
  return error instanceof Error ? error.message : String(error);
}
