import type { TemplateFunction } from '../template-function.js';
import { CRYPTO_FUNCTIONS } from './crypto.js';
import { dateFunctions } from './dates.js';
import { DEFAULT_FUNCTIONS } from './defaults.js';
import { DICTIONARY_FUNCTIONS } from './dictionaries.js';
import { ENCODING_FUNCTIONS } from './encoding.js';
import { JSON_FUNCTIONS } from './json.js';
import { LIST_FUNCTIONS } from './lists.js';
import { NUMERIC_FUNCTIONS } from './numeric.js';
import { PATH_FUNCTIONS } from './paths.js';
import { REFLECTION_FUNCTIONS } from './reflection.js';
import { REGEX_FUNCTIONS } from './regex.js';
import { SEMVER_FUNCTIONS } from './semver.js';
import { STRING_FUNCTIONS } from './strings.js';
import { URL_FUNCTIONS } from './urls.js';
import { WORD_FUNCTIONS } from './words.js';

/** The functions of sprig by their names. */
export const SPRIG_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ...CRYPTO_FUNCTIONS,
  ...dateFunctions(Date.now),
  ...DEFAULT_FUNCTIONS,
  ...DICTIONARY_FUNCTIONS,
  ...ENCODING_FUNCTIONS,
  ...JSON_FUNCTIONS,
  ...LIST_FUNCTIONS,
  ...NUMERIC_FUNCTIONS,
  ...PATH_FUNCTIONS,
  ...REFLECTION_FUNCTIONS,
  ...REGEX_FUNCTIONS,
  ...SEMVER_FUNCTIONS,
  ...STRING_FUNCTIONS,
  ...URL_FUNCTIONS,
  ...WORD_FUNCTIONS,
]);
