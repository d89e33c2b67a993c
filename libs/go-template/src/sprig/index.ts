import type { TemplateFunction } from '../template-function.js';

/** The functions of sprig by their names. */
export const SPRIG_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map();
