export type { ParameterType, TemplateFunction } from './value.js';

/** How many UTF-16 units a text may have that a function makes. What it reads and makes is charged to the template only when it has run. */
export const MAX_TEXT_LENGTH = 4 * 1024 * 1024;

/** What a function says of its arguments. */
export class FunctionError extends Error {}
