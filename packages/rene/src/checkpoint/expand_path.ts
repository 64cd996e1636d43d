// Paths in environment variables, read as Python's os.path.expanduser and expandvars read them.
import { homedir } from 'node:os';
import { HubError } from '../errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * A path with `~`, `$NAME` and `${NAME}` replaced. Unknown variables stay as they are written.
 *
 * @param name the variable that holds the path, for errors
 * @throws HubError for `~user`: only one's own home folder is known
 */
export function expandPath(path: string, name: string, env: Environment): string {
  const [, user, rest = ''] = /^~([^/\\]*)(.*)$/s.exec(path) ?? [];
  if (user) throw new HubError(`${name}: expected '~/...' or an absolute path; found '${path}'`);
  const absolute = user === undefined ? path : (env.HOME || homedir()) + rest;
  return absolute.replace(/\$(?:(\w+)|\{([^}]*)\})/g, (text, plain, braced) => {
    return env[plain ?? braced] ?? text;
  });
}
