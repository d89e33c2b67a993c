// From tokens to the tree, in the steps of Go's text/template/parse/parse.go (1.26), so that the same templates are refused in the same words and
// with the same line. What it reads and this package does not do is refused by name.

import { formatProblem } from './format.js';
import { isFunction } from './function-names.js';
import { Lexer } from './lexer.js';
import { type Branch, type Command, type Operand, type Pipe, shownNode, type Statement, type Variable } from './node.js';
import { quoted, unquoted, unquotedRune } from './quote.js';
import { shownToken, type Token, type TokenType } from './token.js';

/** Blocks and parentheses in each other: both are walked by recursion. */
const MAX_DEPTH = 200;

type Ending = { readonly type: 'end' | 'else' };
type PipeContext = 'command' | 'if' | 'with' | 'range' | 'parenthesized pipeline';

const START: Token = { type: 'end of text', text: '', position: 0, line: 0 };

export class Parser {
  readonly #name: string;
  /** Those beside Go's own. */
  readonly #functions: ReadonlyMap<string, unknown>;
  readonly #lexer: Lexer;
  /** Tokens read; the last `#ahead` of them wait to be read again. The first one names the line of an error. */
  readonly #tokens: [Token, Token, Token] = [START, START, START];
  #ahead = 0;
  #variables = ['$'];
  #actionLine = 0;
  #ranges = 0;
  #depth = 0;

  constructor(text: string, { name, functions }: { readonly name: string; readonly functions: ReadonlyMap<string, unknown> }) {
    this.#name = name;
    this.#functions = functions;
    this.#lexer = new Lexer(text);
  }

  /** The whole template. Throws what is wrong with it. */
  parse(): Statement[] {
    const statements: Statement[] = [];
    while (this.#peek().type !== 'end of text') {
      const statement = this.#textOrAction();
      if (isEnding(statement)) return this.#fail(`unexpected {{${statement.type}}}`);
      statements.push(statement);
    }
    return statements;
  }

  #next(): Token {
    if (this.#ahead > 0) this.#ahead--;
    else this.#tokens[0] = this.#lexer.next();
    return this.#at(this.#ahead);
  }

  #peek(): Token {
    if (this.#ahead > 0) return this.#at(this.#ahead - 1);
    this.#ahead = 1;
    this.#tokens[0] = this.#lexer.next();
    return this.#tokens[0];
  }

  #at(index: number): Token {
    return this.#tokens[index] ?? START;
  }

  #back(): void {
    this.#ahead++;
  }

  /** Puts `before` in front of the token that was peeked. */
  #backTo(before: Token): void {
    this.#tokens[1] = before;
    this.#ahead = 2;
  }

  /** The same with a space between the two. */
  #backBeforeSpace(before: Token, space: Token): void {
    this.#tokens[1] = space;
    this.#tokens[2] = before;
    this.#ahead = 3;
  }

  #nextNonSpace(): Token {
    let token = this.#next();
    while (token.type === 'space') token = this.#next();
    return token;
  }

  #peekNonSpace(): Token {
    const token = this.#nextNonSpace();
    this.#back();
    return token;
  }

  #expect(type: TokenType, context: string): Token {
    const token = this.#nextNonSpace();
    return token.type === type ? token : this.#unexpected(token, context);
  }

  #fail(problem: string): never {
    throw new Error(`template: ${this.#name}:${this.#tokens[0].line}: ${problem}`);
  }

  #unexpected(token: Token, context: string): never {
    if (token.type !== 'error') return this.#fail(`unexpected ${shownToken(token)} in ${context}`);
    if (this.#actionLine === 0 || this.#actionLine === token.line) return this.#fail(token.text);
    const extra = `${token.text.endsWith(' action') ? '' : ' in action'} started at ${this.#name}:${this.#actionLine}`;
    return this.#fail(`${token.text}${extra}`);
  }

  #nested<T>(parse: () => T): T {
    if (this.#depth >= MAX_DEPTH) return this.#fail(`blocks and parentheses are nested deeper than ${MAX_DEPTH} levels`);
    this.#depth++;
    const result = parse();
    this.#depth--;
    return result;
  }

  /** Up to the `{{end}}` or `{{else}}` that ends the block. */
  #block(): { statements: Statement[]; ending: Ending } {
    const statements: Statement[] = [];
    while (this.#peekNonSpace().type !== 'end of text') {
      const statement = this.#textOrAction();
      if (isEnding(statement)) return { statements, ending: statement };
      statements.push(statement);
    }
    return this.#fail('unexpected EOF');
  }

  #textOrAction(): Statement | Ending {
    const token = this.#nextNonSpace();
    if (token.type === 'text') return { type: 'text', position: token.position, text: token.text };
    if (token.type !== 'left delimiter') return this.#unexpected(token, 'input');
    this.#actionLine = token.line;
    const action = this.#action();
    this.#actionLine = 0;
    return action;
  }

  #action(): Statement | Ending {
    const token = this.#nextNonSpace();
    const { type, position } = token;
    switch (type) {
      case 'block':
      case 'define':
      case 'template':
        return this.#fail(`{{${type}}} is not supported here`);
      case 'break':
      case 'continue':
        return this.#leaveRange(type, position);
      case 'else':
        // `{{else if` and `{{else with` are read on by the block that they end.
        if (!['if', 'with'].includes(this.#peekNonSpace().type)) this.#expect('right delimiter', 'else');
        return { type };
      case 'end':
        this.#expect('right delimiter', 'end');
        return { type };
      case 'if':
      case 'with':
      case 'range':
        return this.#branch(type);
      default: {
        this.#back();
        const { position: start } = this.#peek();
        return { type: 'action', position: start, pipe: this.#pipeline('command', 'right delimiter') };
      }
    }
  }

  #leaveRange(type: 'break' | 'continue', position: number): Statement {
    const token = this.#nextNonSpace();
    if (token.type !== 'right delimiter') return this.#unexpected(token, `{{${type}}}`);
    if (this.#ranges === 0) return this.#fail(`{{${type}}} outside {{range}}`);
    return { type, position };
  }

  #branch(type: Branch['type']): Branch {
    return this.#nested(() => {
      const outer = this.#variables.length;
      const pipe = this.#pipeline(type, 'right delimiter');
      if (type === 'range') this.#ranges++;
      const { statements: body, ending } = this.#block();
      if (type === 'range') this.#ranges--;
      const otherwise = ending.type === 'else' ? this.#otherwise(type) : [];
      this.#variables = this.#variables.slice(0, outer);
      return { type, position: pipe.position, pipe, body, otherwise };
    });
  }

  #otherwise(type: Branch['type']): Statement[] {
    // The `{{end}}` of the inner block is that of the outer one as well.
    if (type !== 'range' && this.#peek().type === type) {
      this.#next();
      return [this.#branch(type)];
    }
    const { statements, ending } = this.#block();
    return ending.type === 'end' ? statements : this.#fail(`expected end; found {{${ending.type}}}`);
  }

  #pipeline(context: PipeContext, end: TokenType): Pipe {
    const { position } = this.#peekNonSpace();
    const { declared, isAssignment } = this.#declarations(context);
    const commands: Command[] = [];
    for (;;) {
      const token = this.#nextNonSpace();
      switch (token.type) {
        case end:
          this.#checkPipeline(commands, context);
          return { type: 'pipe', position, declared, isAssignment, commands };
        case 'bool':
        case 'char constant':
        case 'complex':
        case 'dot':
        case 'field':
        case 'identifier':
        case 'left paren':
        case 'nil':
        case 'number':
        case 'raw string':
        case 'string':
        case 'variable':
          this.#back();
          commands.push(this.#command());
          break;
        default:
          return this.#unexpected(token, context);
      }
    }
  }

  #declarations(context: PipeContext): { declared: Variable[]; isAssignment: boolean } {
    const declared: Variable[] = [];
    for (let token = this.#peekNonSpace(); token.type === 'variable'; token = this.#peekNonSpace()) {
      this.#next();
      // Whether `$x` is declared shows only behind the space that may follow it.
      const after = this.#peek();
      const next = this.#peekNonSpace();
      const isComma = next.type === 'char' && next.text === ',';
      if (next.type === 'assign' || next.type === 'declare' || isComma) {
        this.#nextNonSpace();
        declared.push(variableOf(token));
        this.#variables.push(token.text);
        if (!isComma) return { declared, isAssignment: next.type === 'assign' };
        if (context !== 'range' || declared.length >= 2) return this.#fail(`too many declarations in ${context}`);
        if (!['variable', 'right delimiter', 'right paren'].includes(this.#peekNonSpace().type)) {
          return this.#fail('range can only initialize variables');
        }
      } else {
        if (after.type === 'space') this.#backBeforeSpace(token, after);
        else this.#backTo(token);
        break;
      }
    }
    return { declared, isAssignment: false };
  }

  #checkPipeline(commands: readonly Command[], context: PipeContext): void {
    if (commands.length === 0) this.#fail(`missing value for ${context}`);
    const literal = commands.findIndex(({ first }, index) => index > 0 && ['bool', 'dot', 'nil', 'number', 'string'].includes(first.type));
    if (literal > 0) this.#fail(`non executable command in pipeline stage ${literal + 1}`);
  }

  #command(): Command {
    const { position } = this.#peekNonSpace();
    const operands: Operand[] = [];
    for (;;) {
      this.#peekNonSpace();
      const operand = this.#operand();
      if (operand !== null) operands.push(operand);
      const token = this.#next();
      if (token.type === 'space') continue;
      if (token.type === 'right delimiter' || token.type === 'right paren') this.#back();
      else if (token.type !== 'pipe') this.#unexpected(token, 'operand');
      break;
    }
    const [first, ...rest] = operands;
    if (first === undefined) return this.#fail('empty command');
    this.#checkFormat(first, rest[0]);
    return { type: 'command', position, first, rest };
  }

  /** A format that is written out is judged at once, and not only when its line is reached. */
  #checkFormat(first: Operand, second: Operand | undefined): void {
    if (first.type !== 'identifier' || first.name !== 'printf' || second?.type !== 'string') return;
    const problem = formatProblem(second.value);
    if (problem !== null) this.#fail(`printf ${second.text}: ${problem}`);
  }

  /** A term and the fields behind it. Null: something else comes. */
  #operand(): Operand | null {
    const term = this.#term();
    if (term === null || this.#peek().type !== 'field') return term;
    const { position } = this.#peek();
    const fields: string[] = [];
    while (this.#peek().type === 'field') fields.push(this.#next().text.slice(1));
    switch (term.type) {
      case 'field':
      case 'variable':
        return { ...term, position, fields: [...term.fields, ...fields] };
      case 'bool':
      case 'dot':
      case 'nil':
      case 'number':
      case 'string':
        return this.#fail(`unexpected . after term ${quoted(shownNode(term))}`);
      default:
        return { type: 'chain', position, of: term, fields };
    }
  }

  #term(): Operand | null {
    const token = this.#nextNonSpace();
    const { type, text, position } = token;
    switch (type) {
      case 'identifier':
        return isFunction(text) || this.#functions.has(text)
          ? { type, position, name: text }
          : this.#fail(`function ${quoted(text)} not defined`);
      case 'dot':
      case 'nil':
        return { type, position };
      case 'variable':
        return this.#variables.includes(text) ? variableOf(token) : this.#fail(`undefined variable ${quoted(text)}`);
      case 'field':
        return { type, position, fields: [text.slice(1)] };
      case 'bool':
        return { type, position, value: text === 'true' };
      case 'char constant':
        return {
          type: 'number',
          position,
          text,
          value: unquotedRune(text) ?? this.#fail(text === "''" ? 'invalid syntax' : `malformed character constant: ${text}`),
        };
      case 'complex':
        return this.#fail(`complex numbers such as ${text} are not supported here`);
      case 'number':
        return { type, position, text, value: this.#number(text) };
      case 'string':
        return { type, position, text, value: unquoted(text) ?? this.#fail('invalid syntax') };
      case 'raw string':
        return { type: 'string', position, text, value: text.slice(1, -1).replaceAll('\r', '') };
      case 'left paren':
        return this.#nested(() => this.#pipeline('parenthesized pipeline', 'right paren'));
      default:
        this.#back();
        return null;
    }
  }

  #number(text: string): bigint | number {
    if (/i$/.test(text)) return this.#fail(`complex numbers such as ${text} are not supported here`);
    const isHex = /^[+-]?0[xX]/.test(text);
    if (isHex && /[.pP]/.test(text)) return this.#fail(`hexadecimal fractions such as ${text} are not supported here`);
    const integer = integerOf(text);
    if (integer !== null) {
      const isTooLarge = integer > 0x7fff_ffff_ffff_ffffn || integer < -0x8000_0000_0000_0000n;
      return isTooLarge ? this.#fail(`integer overflow: ${quoted(text)}`) : integer;
    }
    const isFraction = !isHex && /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text) && /[.eE]/.test(text);
    const value = Number(text);
    if (isFraction && Number.isFinite(value)) return value;
    // Go takes a zero in front for an octal number, and what is none for one that is too large.
    return this.#fail(`${/^[+-]?\d+$/.test(text) ? 'integer overflow' : 'illegal number syntax'}: ${quoted(text)}`);
  }
}

/** Go's integer literals; null: it is none. */
function integerOf(text: string): bigint | null {
  const match = /^([+-]?)(0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)$/.exec(text);
  const digits = match?.[2]?.replaceAll('_', '');
  if (digits === undefined) return null;
  const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return match?.[1] === '-' ? -value : value;
}

function variableOf({ text, position }: Token): Variable {
  return { type: 'variable', position, name: text, fields: [] };
}

function isEnding(statement: Statement | Ending): statement is Ending {
  return statement.type === 'end' || statement.type === 'else';
}
