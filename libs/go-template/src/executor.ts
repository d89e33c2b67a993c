// Walks the trees as Go's text/template/exec.go (1.26) does, with bounds on steps, time and output, so that no template holds up the process. A missing
// key is an error, as with Go's option missingkey=error.

import { printed } from './format.js';
import { Integer, withoutIntegerType } from './integer.js';
import {
  type Branch,
  type Chain,
  type Command,
  type Identifier,
  type Operand,
  type Pipe,
  shownNode,
  type ShownNode,
  type Statement,
  type TemplateCall,
  type Variable,
} from './node.js';
import { quoted } from './quote.js';
import { FunctionError, type ParameterType, type TemplateFunction } from './template-function.js';
import { TimeBound } from './time-bound.js';
import {
  elementOf,
  entryOf,
  isDictionary,
  isList,
  isTrue,
  keysOf,
  made,
  sortedKeys,
  typeName,
  TypedValue,
  type Value,
  valueOf,
  weightOf,
} from './value.js';

/** As much text as one step handles. */
const STEP_BYTES = 64;
/** Blocks and templates within each other: they are walked by recursion. Go's bound is 100 000 templates. */
const MAX_DEPTH = 1000;
/** How many steps are made between two looks at the clock. */
const STEPS_PER_LOOK = 256;

export interface Limits {
  /** Bytes of UTF-8. */
  readonly outputBytes: number;
  /** Nodes that are visited, and pieces of text that functions read or make. An ordinary mail takes some hundred. */
  readonly steps: number;
  /** Of processor time. */
  readonly milliseconds: number;
}

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

/** What a function or a method is called with. */
interface Call {
  readonly name: string;
  readonly rest: readonly Operand[];
  readonly final: Final;
  /** What an error of the function itself is about. */
  readonly node: ShownNode;
}

/** These are no entries of a table: they do not evaluate all of their operands, or look at them first. */
const SPECIAL = ['and', 'or', 'call'];

export function isSpecialFunction(name: string): boolean {
  return SPECIAL.includes(name);
}

export class Executor {
  readonly #text: string;
  /** Of the text, in every place that an error names. */
  readonly #name: string;
  readonly #templates: ReadonlyMap<string, readonly Statement[]>;
  readonly #functions: ReadonlyMap<string, TemplateFunction>;
  readonly #limits: Limits;
  readonly #time: TimeBound;
  readonly #root: Slot;
  readonly #output: string[] = [];
  /** The template that runs. */
  #running: string;
  #bindings: Binding[];
  #outputBytes = 0;
  #steps = 0;
  #nextLook = STEPS_PER_LOOK;
  #depth = 0;
  /** The one that an error is about. */
  #node: ShownNode = { type: 'dot', position: 0 };

  constructor(options: {
    readonly text: string;
    readonly name: string;
    readonly templates: ReadonlyMap<string, readonly Statement[]>;
    readonly functions: ReadonlyMap<string, TemplateFunction>;
    readonly data: unknown;
    readonly limits: Limits;
  }) {
    this.#text = options.text;
    this.#name = options.name;
    this.#templates = options.templates;
    this.#functions = options.functions;
    this.#limits = options.limits;
    this.#time = new TimeBound(options.limits.milliseconds);
    this.#running = options.name;
    this.#root = concrete(valueOf(options.data) ?? undefined);
    this.#bindings = [{ name: '$', slot: this.#root }];
  }

  /** Throws what is wrong. */
  run(): string {
    this.#block(this.#root, this.#templates.get(this.#name) ?? []);
    return this.#output.join('');
  }

  #block(dot: Slot, statements: readonly Statement[]): Flow {
    if (this.#depth >= MAX_DEPTH) return this.#fail(`exceeded maximum template depth (${MAX_DEPTH})`);
    this.#depth++;
    let flow: Flow = 'next';
    for (const statement of statements) {
      flow = this.#statement(dot, statement);
      if (flow !== 'next') break;
    }
    this.#depth--;
    return flow;
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
          this.#node = statement;
          this.#write(this.#guarded(() => printed(value)));
        }
        return 'next';
      }
      case 'template':
        this.#template(dot, statement);
        return 'next';
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

  /** The other template sees its dot and none of the variables here. */
  #template(dot: Slot, call: TemplateCall): void {
    this.#node = call;
    const statements = this.#templates.get(call.name) ?? this.#fail(`template ${quoted(call.name)} not defined`);
    if (this.#depth >= MAX_DEPTH) this.#fail(`exceeded maximum template depth (${MAX_DEPTH})`);
    const slot = concrete(call.pipe === null ? undefined : this.#pipeline(dot, call.pipe));
    const [running, bindings] = [this.#running, this.#bindings];
    this.#running = call.name;
    this.#bindings = [{ name: '$', slot }];
    this.#block(slot, statements);
    this.#running = running;
    this.#bindings = bindings;
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
    if (!isEmpty) return 'next';
    // A break in what stands for an empty loop leaves this loop in Go, a continue goes on with the one around.
    const flow = this.#block(dot, range.otherwise);
    return flow === 'break' ? 'next' : flow;
  }

  *#elements(over: Value, { declared }: Pipe): Generator<[Value, Slot]> {
    if (isList(over)) {
      for (let index = 0; index < over.length; index++) yield [new Integer('int', BigInt(index)), unseen(elementOf(over, index))];
    } else if (isDictionary(over)) {
      this.#step(keysOf(over).length);
      for (const key of sortedKeys(over)) yield [key, unseen(entryOf(over, key))];
    } else if (typeof over === 'bigint' || over instanceof Integer) {
      if (declared.length > 1) this.#fail(`can't use ${String(over)} to iterate over more than one variable`);
      const end = over instanceof Integer ? over.value : over;
      for (let count = 0n; count < end; count++)
        yield [undefined, concrete(over instanceof Integer ? new Integer(over.type, count) : count)];
    } else if (over !== undefined && over !== null) {
      this.#fail(`range can't iterate over ${this.#guarded(() => printed(over))}`);
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
    const call: Pick<Call, 'rest' | 'final'> = { rest, final };
    switch (first.type) {
      case 'field':
        this.#at(first);
        return this.#fields(dot, dot, { node: first, fields: first.fields, ...call });
      case 'chain':
        return this.#chain(dot, first, call);
      case 'identifier':
        this.#at(first);
        return this.#function(dot, first, { ...call, node: command });
      case 'variable':
        return this.#variable(dot, first, call);
      case 'pipe':
        this.#refuseArguments(first, hasArguments(call));
        return this.#pipeline(dot, first);
      default:
        this.#at(first);
        this.#refuseArguments(first, hasArguments(call));
        if (first.type === 'nil') return this.#fail('nil is not a command');
        return first.type === 'dot' ? dot.value : this.#constant(first);
    }
  }

  #refuseArguments(node: Operand, hasArguments: boolean): void {
    if (hasArguments) this.#fail(`can't give argument to non-function ${shownNode(node)}`);
  }

  /** A constant where any type will do. */
  #constant(constant: Extract<Operand, { type: 'bool' | 'number' | 'string' }>): Value {
    return constant.value ?? this.#fail(`${shownNode(constant)} overflows int`);
  }

  #chain(dot: Slot, chain: Chain, call: Pick<Call, 'rest' | 'final'>): Value {
    this.#at(chain);
    const value = this.#argument(dot, chain.of, 'interface {}');
    return this.#fields(dot, concrete(value ?? undefined), { node: chain, fields: chain.fields, ...call });
  }

  #variable(dot: Slot, variable: Variable, call: Pick<Call, 'rest' | 'final'>): Value {
    this.#at(variable);
    const { slot } = this.#binding(variable.name);
    if (variable.fields.length > 0) return this.#fields(dot, slot, { node: variable, fields: variable.fields, ...call });
    this.#refuseArguments(variable, hasArguments(call));
    return slot.value;
  }

  #binding(name: string): Binding {
    return this.#bindings.findLast((binding) => binding.name === name) ?? this.#fail(`undefined variable: ${name}`);
  }

  #assign(name: string, slot: Slot): void {
    this.#binding(name).slot = slot;
  }

  #fields(
    dot: Slot,
    receiver: Slot,
    { node, fields, ...call }: { readonly node: ShownNode; readonly fields: readonly string[] } & Pick<Call, 'rest' | 'final'>,
  ): Value {
    let slot = receiver;
    for (const [place, name] of fields.entries()) {
      const isLast = place === fields.length - 1;
      slot = unseen(this.#field(dot, slot, { node, name, ...(isLast ? call : WITHOUT_ARGUMENTS) }));
    }
    return slot.value;
  }

  #field(dot: Slot, { value, isInterface }: Slot, call: Call): Value {
    const { name } = call;
    if (value === undefined) return this.#fail(`nil data; no entry for key ${quoted(name)}`);
    const type = isInterface ? 'interface {}' : typeName(value);
    if (value === null) return this.#fail(`nil pointer evaluating ${type}.${name}`);
    if (value instanceof TypedValue) {
      const method = value.method(name);
      if (method !== undefined) return this.#call(dot, method, call);
    }
    if (!isDictionary(value)) return this.#fail(`can't evaluate field ${name} in type ${type}`);
    if (hasArguments(call)) return this.#fail(`${name} is not a method but has arguments`);
    const entry = entryOf(value, name);
    return entry === undefined ? this.#fail(`map has no entry for key ${quoted(name)}`) : entry;
  }

  #function(dot: Slot, { name }: Identifier, { rest, final, node }: Omit<Call, 'name'>): Value {
    const called = this.#functions.get(name);
    if (called !== undefined) return this.#call(dot, called, { name, rest, final, node });
    if (!hasArguments({ rest, final })) this.#fail(`wrong number of args for ${name}: want at least 1 got 0`);
    if (name === 'call') return this.#callNothing(dot, { name, rest, final, node });
    return this.#andOr(dot, rest, { final, stopsAt: name === 'or' });
  }

  #call(dot: Slot, called: TemplateFunction, { name, rest, final, node }: Call): Value {
    const { takes, isVariadic, types = [] } = called;
    const given = rest.length + (final === NONE ? 0 : 1);
    if (isVariadic && given < takes) this.#fail(`wrong number of args for ${name}: want at least ${takes} got ${rest.length}`);
    if (!isVariadic && given !== takes) this.#fail(`wrong number of args for ${name}: want ${takes} got ${given}`);
    const typeAt = (place: number): ParameterType => types[place] ?? (isVariadic ? types.at(-1) : undefined) ?? 'interface {}';
    const args = rest.map((operand, place) => this.#argument(dot, operand, typeAt(place)));
    if (final !== NONE) args.push(this.#checked(final, typeAt(args.length)));
    for (const arg of args) this.#charge(arg);
    const before = this.#node;
    this.#node = node;
    const seen = called.seesIntegerTypes === true ? args : args.map(withoutIntegerType);
    const answer = this.#guarded(() => called.run(seen), `error calling ${name}: `);
    const result = called.returnsInt === true && typeof answer === 'bigint' ? new Integer('int', answer) : answer;
    this.#charge(result);
    this.#look();
    this.#node = before;
    return result;
  }

  /** No value of a template is a function. */
  #callNothing(dot: Slot, { name, rest, final, node }: Call): never {
    const args = rest.map((operand) => this.#argument(dot, operand, 'interface {}'));
    if (final !== NONE) args.push(final);
    const [value] = args;
    const [operand] = rest;
    this.#node = node;
    if (value === undefined || value === null) return this.#fail(`error calling ${name}: call of nil`);
    const shown = operand === undefined ? (typeof value === 'string' ? value : `<${typeName(value)} Value>`) : shownNode(operand);
    return this.#fail(`error calling ${name}: non-function ${shown} of type ${typeName(value)}`);
  }

  #andOr(dot: Slot, rest: readonly Operand[], { final, stopsAt }: { readonly final: Final; readonly stopsAt: boolean }): Value {
    let value: Value;
    for (const operand of rest) {
      value = this.#argument(dot, operand, 'interface {}');
      if (isTrue(value) === stopsAt) return value;
    }
    return final === NONE ? value : final;
  }

  #argument(dot: Slot, operand: Operand, type: ParameterType): Value {
    this.#at(operand);
    switch (operand.type) {
      case 'dot':
        return this.#checked(dot.value, type);
      case 'nil':
        return nilOf(type, `cannot assign nil to ${type}`, (problem) => this.#fail(problem));
      case 'field':
        return this.#checked(this.#fields(dot, dot, { node: operand, fields: operand.fields, ...WITHOUT_ARGUMENTS }), type);
      case 'variable':
        return this.#checked(this.#variable(dot, operand, WITHOUT_ARGUMENTS), type);
      case 'chain':
        return this.#checked(this.#chain(dot, operand, WITHOUT_ARGUMENTS), type);
      case 'pipe':
        return this.#checked(this.#pipeline(dot, operand), type);
      case 'identifier':
        return this.#checked(this.#function(dot, operand, { ...WITHOUT_ARGUMENTS, node: operand }), type);
      default:
        return this.#typedConstant(operand, type);
    }
  }

  /** A constant takes the type of its parameter. */
  #typedConstant(constant: Extract<Operand, { type: 'bool' | 'number' | 'string' }>, type: ParameterType): Value {
    const expected = (what: string): never => this.#fail(`expected ${what}; found ${shownNode(constant)}`);
    switch (type) {
      case 'interface {}':
        return this.#constant(constant);
      case 'string':
        return constant.type === 'string' ? constant.value : expected('string');
      case 'bool':
        return constant.type === 'bool' ? constant.value : expected('bool');
      case 'int':
      case 'int64':
        return constant.type === 'number' && constant.integer !== null ? constant.integer : expected('integer');
      case 'float64':
        return constant.type === 'number' && constant.float !== null ? constant.float : expected('float');
      default:
        return this.#fail(`can't handle ${shownNode(constant)} for arg of type ${type}`);
    }
  }

  /** A value that has to be of a type. */
  #checked(value: Value, type: ParameterType): Value {
    if (value === undefined) return nilOf(type, `invalid value; expected ${type}`, (problem) => this.#fail(problem));
    if (type === 'interface {}') return value;
    const own = value === null ? 'interface {}' : typeName(value);
    if (own === type) return withoutIntegerType(value);
    // Go wants a conversion between the two.
    if ((own === 'int64' && type === 'int') || (own === 'int' && type === 'int64')) return withoutIntegerType(value);
    return this.#fail(`wrong type for value; expected ${type}; got ${own}`);
  }

  #at(node: ShownNode): void {
    this.#step();
    this.#node = node;
  }

  #step(count = 1): void {
    this.#steps += count;
    if (this.#steps > this.#limits.steps) this.#fail(`it takes more than ${this.#limits.steps} steps`);
    if (this.#steps >= this.#nextLook) this.#look();
  }

  #look(): void {
    this.#nextLook = this.#steps + STEPS_PER_LOOK;
    if (this.#time.isOver) this.#fail(`it takes more than ${this.#limits.milliseconds} milliseconds`);
  }

  /** What the values cost that functions read and make. */
  #charge(value: Value): void {
    this.#step(Math.floor(weightOf(value, this.#limits.steps * STEP_BYTES) / STEP_BYTES));
  }

  #write(text: string): void {
    this.#outputBytes += Buffer.byteLength(text);
    if (this.#outputBytes > this.#limits.outputBytes) this.#fail(`the output is larger than ${this.#limits.outputBytes} bytes`);
    this.#output.push(text);
  }

  /** What a function refuses is an error at the node that is at hand. */
  #guarded<T>(run: () => T, prefix = ''): T {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof FunctionError)) throw error;
      return this.#fail(`${prefix}${error.message}`);
    }
  }

  #fail(problem: string): never {
    const before = this.#text.slice(0, this.#node.position);
    const line = before.split('\n').length;
    const column = Buffer.byteLength(before.slice(before.lastIndexOf('\n') + 1));
    const place = `${this.#name}:${line}:${column}`;
    throw new Error(`template: ${place}: executing ${quoted(this.#running)} at <${shownNode(this.#node)}>: ${problem}`);
  }
}

const WITHOUT_ARGUMENTS: Pick<Call, 'rest' | 'final'> = { rest: [], final: NONE };

function hasArguments({ rest, final }: Pick<Call, 'rest' | 'final'>): boolean {
  return rest.length > 0 || final !== NONE;
}

/** Nil of a type that has one. */
function nilOf(type: ParameterType, problem: string, fail: (problem: string) => never): Value {
  switch (type) {
    case 'interface {}':
      return undefined;
    case '[]interface {}':
    case '[]string':
      return made([], { type, isNil: true });
    case 'map[string]interface {}':
      return made({}, { type, isNil: true });
    default:
      return fail(problem);
  }
}

function concrete(value: Value): Slot {
  return { value, isInterface: false };
}

/** As it comes out of a map or a list. */
function unseen(value: Value): Slot {
  return { value, isInterface: true };
}
