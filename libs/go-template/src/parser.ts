// From tokens to the trees, in the steps of Go's text/template/parse/parse.go (1.26), so that the same templates are refused in the same words and
// with the same line.

import { Lexer } from './lexer.js';
import { type Branch, type Command, type Operand, type Pipe, shownNode, type Statement, type TemplateCall, type Variable } from './node.js';
import { characterConstant, complexConstant, type Constant, numberConstant } from './number.js';
import { NotTextError, quoted, unquoted, unquotedRune } from './quote.js';
import { shownToken, type Token, type TokenType } from './token.js';

/** Blocks and parentheses in each other: both are walked by recursion. Go's bound is 10 000 parentheses. */
const MAX_DEPTH = 200;

type Ending = { readonly type: 'end' | 'else' };
type PipeContext = 'command' | 'if' | 'with' | 'range' | 'parenthesized pipeline' | 'template clause' | 'block clause';

const START: Token = { type: 'end of text', text: '', position: 0, line: 0 };

/** What the parsers of a text and of the templates that it defines have in common. */
interface Source {
  readonly name: string;
  readonly hasFunction: (name: string) => boolean;
  readonly lexer: Lexer;
  readonly trees: Map<string, readonly Statement[]>;
  depth: number;
}

/** The templates of a text by their names, its own among them. Throws what is wrong with it. */
export function parse(
  text: string,
  { name, hasFunction }: { readonly name: string; readonly hasFunction: (name: string) => boolean },
): ReadonlyMap<string, readonly Statement[]> {
  const source = { name, hasFunction, lexer: new Lexer(text), trees: new Map<string, readonly Statement[]>(), depth: 0 };
  new Parser(source).parse();
  return source.trees;
}

/** One template: the text itself, or one that it defines and whose tokens it leaves to another parser. */
class Parser {
  readonly #source: Source;
  /** Tokens read; the last `#ahead` of them wait to be read again. The first one names the line of an error. */
  readonly #tokens: [Token, Token, Token] = [START, START, START];
  #ahead = 0;
  #variables = ['$'];
  #actionLine = 0;
  #ranges = 0;

  constructor(source: Source) {
    this.#source = source;
  }

  parse(): void {
    const statements: Statement[] = [];
    while (this.#peek().type !== 'end of text') {
      if (this.#peek().type === 'left delimiter') {
        const delimiter = this.#next();
        if (this.#nextNonSpace().type === 'define') {
          new Parser(this.#source).#definition();
          continue;
        }
        this.#backTo(delimiter);
      }
      const statement = this.#textOrAction();
      if (isEnding(statement)) this.#fail(`unexpected {{${statement.type}}}`);
      else statements.push(statement);
    }
    this.#add(this.#source.name, statements);
  }

  /** What follows `{{define`. */
  #definition(): void {
    const context = 'define clause';
    const token = this.#nextNonSpace();
    if (token.type !== 'string' && token.type !== 'raw string') this.#unexpected(token, context);
    const name = this.#string(token);
    this.#expect('right delimiter', context);
    this.#body(name, context);
  }

  #body(name: string, context: string): void {
    const { statements, ending } = this.#block();
    if (ending.type !== 'end') this.#fail(`unexpected {{${ending.type}}} in ${context}`);
    this.#add(name, statements);
  }

  /** A template that is nothing but space gives way to another of its name. */
  #add(name: string, statements: readonly Statement[]): void {
    const { trees } = this.#source;
    if (isEmpty(trees.get(name) ?? [])) trees.set(name, statements);
    else if (!isEmpty(statements)) this.#fail(`template: multiple definition of template ${quoted(name)}`);
  }

  #next(): Token {
    if (this.#ahead > 0) this.#ahead--;
    else this.#tokens[0] = this.#source.lexer.next();
    return this.#at(this.#ahead);
  }

  #peek(): Token {
    if (this.#ahead > 0) return this.#at(this.#ahead - 1);
    this.#ahead = 1;
    this.#tokens[0] = this.#source.lexer.next();
    return this.#tokens[0];
  }

  #at(index: number): Token {
    return this.#tokens[index] ?? START;
  }

  #back(): void {
    this.#ahead++;
  }

  /** Puts `before` in front of the token that was read last. */
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
    throw new Error(`template: ${this.#source.name}:${this.#tokens[0].line}: ${problem}`);
  }

  #unexpected(token: Token, context: string): never {
    if (token.type !== 'error') return this.#fail(`unexpected ${shownToken(token)} in ${context}`);
    if (this.#actionLine === 0 || this.#actionLine === token.line) return this.#fail(token.text);
    const extra = `${token.text.endsWith(' action') ? '' : ' in action'} started at ${this.#source.name}:${this.#actionLine}`;
    return this.#fail(`${token.text}${extra}`);
  }

  #nested<T>(parse: () => T): T {
    if (this.#source.depth >= MAX_DEPTH) return this.#fail(`blocks and parentheses are nested deeper than ${MAX_DEPTH} levels`);
    this.#source.depth++;
    const result = parse();
    this.#source.depth--;
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
        return this.#blockCall();
      case 'template':
        return this.#templateCall();
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

  /** `{{block "name" pipeline}}`: a definition and the call of it. */
  #blockCall(): TemplateCall {
    const context = 'block clause';
    const token = this.#nextNonSpace();
    const name = this.#templateName(token, context);
    const pipe = this.#pipeline(context, 'right delimiter');
    this.#nested(() => new Parser(this.#source).#body(name, context));
    return { type: 'template', position: token.position, name, pipe };
  }

  #templateCall(): TemplateCall {
    const context = 'template clause';
    const token = this.#nextNonSpace();
    const name = this.#templateName(token, context);
    let pipe: Pipe | null = null;
    if (this.#nextNonSpace().type !== 'right delimiter') {
      this.#back();
      pipe = this.#pipeline(context, 'right delimiter');
    }
    return { type: 'template', position: token.position, name, pipe };
  }

  #templateName(token: Token, context: string): string {
    return token.type === 'string' || token.type === 'raw string' ? this.#string(token) : this.#unexpected(token, context);
  }

  /** What a string constant says. */
  #string({ type, text }: Token): string {
    if (type === 'raw string') return text.slice(1, -1).replaceAll('\r', '');
    try {
      return unquoted(text) ?? this.#fail('invalid syntax');
    } catch (error) {
      if (!(error instanceof NotTextError)) throw error;
      return this.#fail(error.message);
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
    return { type: 'command', position, first, rest };
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
        return this.#source.hasFunction(text) ? { type, position, name: text } : this.#fail(`function ${quoted(text)} not defined`);
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
        return { type: 'number', position, text, ...this.#constant(characterOf(text)) };
      case 'complex':
        return { type: 'number', position, text, ...this.#constant(complexConstant(text)) };
      case 'number':
        return { type, position, text, ...this.#constant(numberConstant(text)) };
      case 'string':
      case 'raw string':
        return { type: 'string', position, text, value: this.#string(token) };
      case 'left paren':
        return this.#nested(() => this.#pipeline('parenthesized pipeline', 'right paren'));
      default:
        this.#back();
        return null;
    }
  }

  #constant(constant: Constant | string): Constant {
    return typeof constant === 'string' ? this.#fail(constant) : constant;
  }
}

function characterOf(text: string): Constant | string {
  const code = unquotedRune(text);
  if (code === null) return 'invalid syntax';
  return code === undefined ? `malformed character constant: ${text}` : characterConstant(code);
}

function variableOf({ text, position }: Token): Variable {
  return { type: 'variable', position, name: text, fields: [] };
}

/** Nothing but space, and comments, which leave nothing. */
function isEmpty(statements: readonly Statement[]): boolean {
  return statements.every((statement) => statement.type === 'text' && /^\p{White_Space}*$/u.test(statement.text));
}

function isEnding(statement: Statement | Ending): statement is Ending {
  return statement.type === 'end' || statement.type === 'else';
}
