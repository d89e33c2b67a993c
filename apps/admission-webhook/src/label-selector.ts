/** Label selectors, as Kubernetes reads them: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. */

const TOKEN = /\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)\s*/gy;
const NAME = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const INTEGER = /^[+-]?[0-9]{1,19}$/;
const SYMBOLS: ReadonlySet<string> = new Set(['=', '==', '!=', '!', '(', ')', ',', '<', '>']);

/** What is wrong with a selector; null: nothing is. */
export function labelSelectorProblem(text: string): string | null {
  const tokens = tokensOf(text);
  let at = 0;
  const next = (): string => tokens[at++] ?? '';
  for (;;) {
    const problem = requirementProblem(next, () => tokens[at] ?? '');
    if (problem !== null) return problem;
    if (at >= tokens.length) return null;
    const token = next();
    if (token !== ',') return `a comma is wanted in place of "${token}"`;
  }
}

function tokensOf(text: string): string[] {
  return Array.from(text.matchAll(TOKEN), ([, token = '']) => token);
}

function requirementProblem(next: () => string, peek: () => string): string | null {
  const first = next();
  const key = first === '!' ? next() : first;
  const keyProblem = labelKeyProblem(key);
  if (keyProblem !== null || first === '!' || peek() === ',' || peek() === '') return keyProblem;
  const operator = next();
  switch (operator) {
    case '=':
    case '==':
    case '!=': {
      // No value is the empty one.
      if (peek() === ',' || peek() === '') return null;
      return labelValueProblem(next());
    }
    case '<':
    case '>': {
      const value = next();
      return INTEGER.test(value) ? null : `${operator} compares with a whole number, not with "${value}"`;
    }
    case 'in':
    case 'notin':
      return valuesProblem(operator, next, peek);
    default:
      return `"${operator}" is no operator: there are =, ==, !=, in, notin, < and >`;
  }
}

/** The values in parentheses; between two commas there is the empty one. */
function valuesProblem(operator: string, next: () => string, peek: () => string): string | null {
  if (next() !== '(') return `${operator} is followed by values in parentheses`;
  if (peek() === ')') return `${operator} is followed by one value at least`;
  for (;;) {
    const value = peek();
    if (value !== ',' && value !== ')') {
      const problem = value === '' ? null : labelValueProblem(value);
      if (problem !== null) return problem;
      next();
    }
    const end = next();
    if (end === ')') return null;
    if (end !== ',') return end === '' ? 'the parenthesis is not closed' : `a comma is wanted in place of "${end}"`;
  }
}

function labelKeyProblem(key: string): string | null {
  if (key === '') return 'the key of a label is missing';
  const parts = key.split('/');
  const [prefix, name] = parts.length === 2 ? parts : [undefined, key];
  if (name !== undefined && NAME.test(name) && (prefix === undefined || PREFIX.test(prefix))) return null;
  return `"${key}" is no key of a label: letters, digits, '-', '_' and '.', at most 63, perhaps after a domain and '/'`;
}

function labelValueProblem(value: string): string | null {
  if (!SYMBOLS.has(value) && NAME.test(value)) return null;
  return `"${value}" is no value of a label: letters, digits, '-', '_' and '.', at most 63`;
}
