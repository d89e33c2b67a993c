// Walks the tree as Go's text/template/exec.go (1.26) does, with a bound on steps and on the output, so that no template holds up the process.

import { printed } from './format.js';
import { FUNCTIONS } from './functions.js';
import { type Branch, type Command, type Identifier, type Operand, type Pipe, shownNode, type Statement } from './node.js';
import { quoted } from './quote.js';
import { FunctionError, type TemplateFunction } from './template-function.js';
import { elementOf, entryOf, isDictionary, isList, isTrue, keysOf, sortedKeys, typeName, type Value, valueOf } from './value.js';

const MAX_OUTPUT_BYTES = 1024 * 1024;
/** Nodes that are visited, and pieces of text that functions read or make. An ordinary mail takes some hundred. */
const MAX_STEPS = 200_000;
/** As much text as one step handles. */
const STEP_BYTES = 64;

/** A value that is kept. Go says more precisely what is wrong with one that was not looked at yet: its type is `interface {}` until then. */
interface Slot {
  readonly value: Value;
  readonly isInterface: boolean;
}

interface Binding {
  readonly name: string;
  slot: Slot;
}

type Flow = 'next' | 'break' | 'continue';

/** The place of the value that a pipeline hands to its next command, when there is none. */
const NONE = Symbol('none');
type Final = Value | typeof NONE;

export class Executor {
  readonly #text: string;
  readonly #name: string;
  readonly #functions: ReadonlyMap<string, TemplateFunction>;
  readonly #bindings: Binding[];
  readonly #root: Slot;
  readonly #output: string[] = [];
  #outputBytes = 0;
  #steps = 0;
  /** How long the texts of lists and maps are that functions were given. */
  readonly #sizes = new WeakMap<object, number>();
  /** The one that an error is about. */
  #node: { readonly position: number; readonly shown: () => string };

  constructor(options: {
    readonly text: string;
    readonly name: string;
    readonly functions: ReadonlyMap<string, TemplateFunction>;
    readonly data: unknown;
  }) {
    this.#text = options.text;
    this.#name = options.name;
    this.#functions = options.functions;
    this.#node = { position: 0, shown: () => '' };
    this.#root = concrete(valueOf(options.data));
    this.#bindings = [{ name: '$', slot: this.#root }];
  }

  /** Throws what is wrong. */
  run(statements: readonly Statement[]): string {
    this.#block(this.#root, statements);
    return this.#output.join('');
  }

  #block(dot: Slot, statements: readonly Statement[]): Flow {
    for (const statement of statements) {
      const flow = this.#statement(dot, statement);
      if (flow !== 'next') return flow;
    }
    return 'next';
  }

  #statement(dot: Slot, statement: Statement): Flow {
    this.#step();
    switch (statement.type) {
      case 'text':
        this.#write(statement.text);
        return 'next';
      case 'action': {
        const value = this.#pipeline(dot, statement.pipe);
        if (statement.pipe.declared.length === 0) {
          this.#node = { position: statement.position, shown: () => `{{${shownNode(statement.pipe)}}}` };
          this.#write(printed(value));
        }
        return 'next';
      }
      case 'break':
      case 'continue':
        return statement.type;
      case 'if':
      case 'with':
        return this.#scoped(() => {
          const value = this.#pipeline(dot, statement.pipe);
          if (!isTrue(value)) return this.#block(dot, statement.otherwise);
          return this.#block(statement.type === 'with' ? concrete(value) : dot, statement.body);
        });
      case 'range':
        return this.#scoped(() => this.#range(dot, statement));
    }
  }

  /** Variables end with the block that declares them. */
  #scoped<T>(run: () => T): T {
    const outer = this.#bindings.length;
    const result = run();
    this.#bindings.length = outer;
    return result;
  }

  #range(dot: Slot, range: Branch): Flow {
    const over = this.#pipeline(dot, range.pipe);
    let isEmpty = true;
    for (const [index, element] of this.#elements(over, range.pipe)) {
      isEmpty = false;
      this.#step();
      this.#bindIteration(range.pipe, index, element);
      const flow = this.#scoped(() => this.#block(element, range.body));
      if (flow === 'break') break;
    }
    return isEmpty ? this.#block(dot, range.otherwise) : 'next';
  }

  *#elements(over: Value, { declared }: Pipe): Generator<[Value, Slot]> {
    if (isList(over)) {
      for (let index = 0; index < over.length; index++) yield [BigInt(index), unseen(elementOf(over, index))];
    } else if (isDictionary(over)) {
      this.#step(keysOf(over).length);
      for (const key of sortedKeys(over)) yield [key, unseen(entryOf(over, key))];
    } else if (typeof over === 'bigint') {
      if (declared.length > 1) this.#fail(`can't use ${over} to iterate over more than one variable`);
      for (let count = 0n; count < over; count++) yield [undefined, concrete(count)];
    } else if (over !== undefined && over !== null) {
      this.#fail(`range can't iterate over ${printed(over)}`);
    }
  }

  /** With two variables the index comes first; one takes the element. */
  #bindIteration({ declared, isAssignment }: Pipe, index: Value, element: Slot): void {
    const [first, second] = declared;
    if (first === undefined) return;
    const slots = second === undefined ? [element] : [concrete(index), element];
    if (isAssignment) {
      for (const [place, variable] of declared.entries()) this.#assign(variable.name, slots[place] ?? element);
      return;
    }
    const own = this.#bindings.slice(-slots.length);
    for (const [place, binding] of own.entries()) binding.slot = slots[place] ?? element;
  }

  #pipeline(dot: Slot, pipe: Pipe): Value {
    this.#at(pipe);
    let value: Final = NONE;
    for (const command of pipe.commands) {
      // Nil is looked at here, and absent from then on.
      value = this.#command(dot, command, value) ?? undefined;
    }
    const result = value === NONE ? undefined : value;
    for (const { name } of pipe.declared) {
      if (pipe.isAssignment) this.#assign(name, concrete(result));
      else this.#bindings.push({ name, slot: concrete(result) });
    }
    return result;
  }

  #command(dot: Slot, command: Command, final: Final): Value {
    const { first, rest } = command;
    const hasArguments = rest.length > 0 || final !== NONE;
    switch (first.type) {
      case 'field':
        this.#at(first);
        return this.#fields(dot, first.fields, hasArguments);
      case 'chain':
        return this.#chain(dot, first, hasArguments);
      case 'identifier':
        this.#at(first);
        return this.#call(dot, first, { rest, final, node: command });
      case 'variable':
        return this.#variable(first, hasArguments);
      case 'pipe':
        this.#refuseArguments(first, hasArguments);
        return this.#pipeline(dot, first);
      default:
        this.#at(first);
        this.#refuseArguments(first, hasArguments);
        if (first.type === 'nil') return this.#fail('nil is not a command');
        return first.type === 'dot' ? dot.value : first.value;
    }
  }

  #refuseArguments(node: Operand, hasArguments: boolean): void {
    if (hasArguments) this.#fail(`can't give argument to non-function ${shownNode(node)}`);
  }

  #chain(dot: Slot, chain: Extract<Operand, { type: 'chain' }>, hasArguments: boolean): Value {
    this.#at(chain);
    const value = this.#argument(dot, chain.of);
    return this.#fields(concrete(value ?? undefined), chain.fields, hasArguments);
  }

  #variable(variable: Extract<Operand, { type: 'variable' }>, hasArguments: boolean): Value {
    this.#at(variable);
    const { slot } = this.#binding(variable.name);
    if (variable.fields.length > 0) return this.#fields(slot, variable.fields, hasArguments);
    this.#refuseArguments(variable, hasArguments);
    return slot.value;
  }

  #binding(name: string): Binding {
    return this.#bindings.findLast((binding) => binding.name === name) ?? this.#fail(`undefined variable: ${name}`);
  }

  #assign(name: string, slot: Slot): void {
    this.#binding(name).slot = slot;
  }

  #fields(receiver: Slot, fields: readonly string[], hasArguments: boolean): Value {
    let slot = receiver;
    for (const [place, field] of fields.entries()) {
      slot = unseen(this.#field(slot, field, hasArguments && place === fields.length - 1));
    }
    return slot.value;
  }

  #field({ value, isInterface }: Slot, field: string, hasArguments: boolean): Value {
    if (value === undefined) return undefined;
    const type = isInterface ? 'interface {}' : typeName(value);
    if (value === null) return this.#fail(`nil pointer evaluating ${type}.${field}`);
    if (!isDictionary(value)) return this.#fail(`can't evaluate field ${field} in type ${type}`);
    if (hasArguments) return this.#fail(`${field} is not a method but has arguments`);
    return entryOf(value, field);
  }

  #call(
    dot: Slot,
    { name }: Identifier,
    { rest, final, node }: { readonly rest: readonly Operand[]; readonly final: Final; readonly node: Operand | Command },
  ): Value {
    const given = rest.length + (final === NONE ? 0 : 1);
    if (name === 'and' || name === 'or') {
      if (given === 0) this.#fail(`wrong number of args for ${name}: want at least 1 got 0`);
      return this.#andOr(dot, rest, { final, stopsAt: name === 'or' });
    }
    const called = FUNCTIONS.get(name) ?? this.#functions.get(name);
    if (called === undefined) return this.#fail(`${quoted(name)} is not a defined function`);
    if (called.isVariadic && given < called.takes)
      this.#fail(`wrong number of args for ${name}: want at least ${called.takes} got ${rest.length}`);
    if (!called.isVariadic && given !== called.takes) this.#fail(`wrong number of args for ${name}: want ${called.takes} got ${given}`);
    const wantsText = (place: number): boolean => name === 'printf' && place === 0;
    const args = rest.map((operand, place) => this.#argument(dot, operand, wantsText(place)));
    if (final !== NONE) args.push(wantsText(args.length) ? this.#needText(final) : final);
    try {
      for (const arg of args) this.#charge(arg);
      const result = called.run(args);
      this.#charge(result);
      return result;
    } catch (error) {
      if (!(error instanceof FunctionError)) throw error;
      this.#node = { position: node.position, shown: () => shownNode(node) };
      return this.#fail(`error calling ${name}: ${error.message}`);
    }
  }

  #andOr(dot: Slot, rest: readonly Operand[], { final, stopsAt }: { readonly final: Final; readonly stopsAt: boolean }): Value {
    let value: Value;
    for (const operand of rest) {
      value = this.#argument(dot, operand);
      if (isTrue(value) === stopsAt) return value;
    }
    return final === NONE ? value : final;
  }

  #argument(dot: Slot, operand: Operand, wantsText = false): Value {
    this.#at(operand);
    const checked = (value: Value, isInterface = false): Value => (wantsText ? this.#needText(value, isInterface) : value);
    switch (operand.type) {
      case 'dot':
        return checked(dot.value, dot.isInterface);
      case 'nil':
        return wantsText ? this.#fail('cannot assign nil to string') : undefined;
      case 'field':
        return checked(this.#fields(dot, operand.fields, false), true);
      case 'variable':
        return checked(this.#variable(operand, false));
      case 'chain':
        return checked(this.#chain(dot, operand, false), true);
      case 'pipe':
        return checked(this.#pipeline(dot, operand));
      case 'identifier':
        return checked(this.#call(dot, operand, { rest: [], final: NONE, node: operand }));
      default:
        if (wantsText && operand.type !== 'string') this.#fail(`expected string; found ${shownNode(operand)}`);
        return operand.value;
    }
  }

  /** What has to be a string. */
  #needText(value: Value, isInterface = false): Value {
    if (typeof value === 'string') return value;
    if (value === undefined || (value === null && !isInterface)) return this.#fail('invalid value; expected string');
    return this.#fail(`wrong type for value; expected string; got ${value === null ? 'interface {}' : typeName(value)}`);
  }

  #at(node: Operand): void {
    this.#step();
    this.#node = { position: node.position, shown: () => shownNode(node) };
  }

  #step(count = 1): void {
    this.#steps += count;
    if (this.#steps > MAX_STEPS) this.#fail(`it takes more than ${MAX_STEPS} steps`);
  }

  /** What texts cost that functions read and make. */
  #charge(value: Value): void {
    if (typeof value === 'string') this.#step(Math.floor(value.length / STEP_BYTES));
    if (typeof value !== 'object' || value === null) return;
    const size = this.#sizes.get(value) ?? printed(value).length;
    this.#sizes.set(value, size);
    this.#step(Math.floor(size / STEP_BYTES));
  }

  #write(text: string): void {
    this.#outputBytes += Buffer.byteLength(text);
    if (this.#outputBytes > MAX_OUTPUT_BYTES) this.#fail(`the output is larger than ${MAX_OUTPUT_BYTES} bytes`);
    this.#output.push(text);
  }

  #fail(problem: string): never {
    const before = this.#text.slice(0, this.#node.position);
    const line = before.split('\n').length;
    const column = Buffer.byteLength(before.slice(before.lastIndexOf('\n') + 1));
    const place = `${this.#name}:${line}:${column}`;
    throw new Error(`template: ${place}: executing ${quoted(this.#name)} at <${this.#node.shown()}>: ${problem}`);
  }
}

function concrete(value: Value): Slot {
  return { value, isInterface: false };
}

/** As it comes out of a map or a list. */
function unseen(value: Value): Slot {
  return { value, isInterface: true };
}
