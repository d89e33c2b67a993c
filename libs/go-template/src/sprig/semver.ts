import type { TemplateFunction } from '../template-function.js';
import { fixed } from './declaration.js';
import { SemanticVersion } from './semantic-version.js';
import { satisfies } from './version-constraint.js';

export const SEMVER_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['semver', fixed(['string'], (text) => new SemanticVersion(text))],
  ['semverCompare', fixed(['string', 'string'], (constraints, text) => satisfies(() => new SemanticVersion(text), constraints))],
]);
