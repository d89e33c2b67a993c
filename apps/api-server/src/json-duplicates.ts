/** The text is nested deeper than any object of Kubernetes. */
export class DepthError extends Error {
  override readonly name = 'DepthError';
}

const MAX_DEPTH = 100;

interface Level {
  readonly path: string;
  /** Null: a list. */
  readonly keys: Set<string> | null;
  index: number;
}

/**
 * Paths of the fields that a JSON text has twice in one object, each once, such as `spec.user.email`. The text is one that `JSON.parse` takes; which
 * of the two `JSON.parse` takes is the last. Throws `DepthError`.
 */
export function duplicateFields(text: string): string[] {
  const found = new Set<string>();
  const levels: Level[] = [];
  let path = '';
  let expectsKey = false;
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [part] = match;
    const level = levels.at(-1);
    switch (part) {
      case '{':
      case '[':
        if (levels.length === MAX_DEPTH) throw new DepthError('exceeded max depth');
        if (level?.keys === null) path = `${level.path}[${level.index}]`;
        levels.push({ path, keys: part === '{' ? new Set() : null, index: 0 });
        expectsKey = part === '{';
        break;
      case '}':
      case ']':
        levels.pop();
        expectsKey = false;
        break;
      case ',':
        if (level?.keys === null) level.index++;
        else expectsKey = true;
        break;
      case ':':
        expectsKey = false;
        break;
      default: {
        if (!expectsKey || level === undefined || level.keys === null) break;
        const key = JSON.parse(part) as string;
        path = level.path === '' ? key : `${level.path}.${key}`;
        if (level.keys.has(key)) found.add(path);
        level.keys.add(key);
      }
    }
  }
  return [...found];
}
