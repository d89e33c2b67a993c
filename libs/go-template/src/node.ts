// The tree of a template: blocks of texts and actions, whose pipelines are commands of operands.

import { quoted } from './quote.js';
import type { Value } from './value.js';

interface Positioned {
  /** Index in the template. */
  readonly position: number;
}

export type Operand =
  | (Positioned & { readonly type: 'bool'; readonly value: boolean })
  | NumberConstant
  | (Positioned & { readonly type: 'string'; readonly text: string; readonly value: string })
  | (Positioned & { readonly type: 'nil' })
  | (Positioned & { readonly type: 'dot' })
  | Field
  | Variable
  | Chain
  | Identifier
  | Pipe;

/** Go's constants have no type before they meet one. */
export interface NumberConstant extends Positioned {
  readonly type: 'number';
  readonly text: string;
  /** Where any type will do; null: it is too large for one. */
  readonly value: Value;
  /** Null: it is no such number. */
  readonly integer: bigint | null;
  readonly float: number | null;
}

export interface Field extends Positioned {
  readonly type: 'field';
  readonly fields: readonly string[];
}

export interface Variable extends Positioned {
  readonly type: 'variable';
  /** With its `$`. */
  readonly name: string;
  readonly fields: readonly string[];
}

/** Fields of what a function or a pipeline in parentheses gives. */
export interface Chain extends Positioned {
  readonly type: 'chain';
  readonly of: Operand;
  readonly fields: readonly string[];
}

export interface Identifier extends Positioned {
  readonly type: 'identifier';
  readonly name: string;
}

export interface Command extends Positioned {
  readonly type: 'command';
  readonly first: Operand;
  readonly rest: readonly Operand[];
}

export interface Pipe extends Positioned {
  readonly type: 'pipe';
  readonly declared: readonly Variable[];
  /** `=`; else `:=`. */
  readonly isAssignment: boolean;
  readonly commands: readonly Command[];
}

export type Branch = Positioned & {
  readonly type: 'if' | 'with' | 'range';
  readonly pipe: Pipe;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
};

export interface Action extends Positioned {
  readonly type: 'action';
  readonly pipe: Pipe;
}

/** `{{template}}`, and what is left of a `{{block}}` where it stands. */
export interface TemplateCall extends Positioned {
  readonly type: 'template';
  readonly name: string;
  /** Null: the other template gets nil. */
  readonly pipe: Pipe | null;
}

export type Statement =
  | (Positioned & { readonly type: 'text'; readonly text: string })
  | Action
  | TemplateCall
  | (Positioned & { readonly type: 'break' | 'continue' })
  | Branch;

/** A node that an error can be about. */
export type ShownNode = Operand | Command | Action | TemplateCall;

/** A node as Go's messages show it. */
export function shownNode(node: ShownNode): string {
  switch (node.type) {
    case 'bool':
      return String(node.value);
    case 'number':
    case 'string':
      return node.text;
    case 'nil':
      return 'nil';
    case 'dot':
      return '.';
    case 'field':
      return node.fields.map((field) => `.${field}`).join('');
    case 'variable':
      return [node.name, ...node.fields].join('.');
    case 'chain':
      return `${inParens(node.of)}${node.fields.map((field) => `.${field}`).join('')}`;
    case 'identifier':
      return node.name;
    case 'action':
      return `{{${shownNode(node.pipe)}}}`;
    case 'template':
      return `{{template ${quoted(node.name)}${node.pipe === null ? '' : ` ${shownNode(node.pipe)}`}}}`;
    case 'command':
      return [node.first, ...node.rest].map(inParens).join(' ');
    case 'pipe': {
      const declared = node.declared.map(shownNode).join(', ');
      const commands = node.commands.map(shownNode).join(' | ');
      return declared === '' ? commands : `${declared} ${node.isAssignment ? '=' : ':='} ${commands}`;
    }
  }
}

function inParens(node: Operand): string {
  return node.type === 'pipe' ? `(${shownNode(node)})` : shownNode(node);
}
