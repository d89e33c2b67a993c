import { FunctionError, type TemplateFunction } from '../template-function.js';
import { type Dictionary, entryOf } from '../value.js';
import { fixed } from './declaration.js';
import { failOfNil, kindOf, newDictionary } from './go-value.js';
import { type GoUrl, hostnameOf, parseUrl, UrlError, urlText, type UserInfo, userText } from './go-url.js';

export const URL_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['urlParse', fixed(['string'], partsOf)],
  ['urlJoin', fixed(['map[string]interface {}'], joined)],
]);

function parsed(text: string, what: string): GoUrl {
  try {
    return parseUrl(text);
  } catch (error) {
    if (error instanceof UrlError) throw new FunctionError(`unable to parse ${what}: ${error.message}`, { cause: error });
    throw error;
  }
}

function partsOf(text: string): Dictionary {
  const { scheme, host, path, query, opaque, fragment, user } = parsed(text, 'url');
  const userinfo = user === null ? '' : userText(user);
  return newDictionary(Object.entries({ scheme, host, hostname: hostnameOf(host), path, query, opaque, fragment, userinfo }));
}

function joined(parts: Dictionary): string {
  const text = (key: string): string => textAt(parts, key);
  const url = { scheme: text('scheme'), host: text('host'), path: text('path'), query: text('query'), opaque: text('opaque') };
  return urlText({ ...url, fragment: text('fragment'), user: userOf(text('userinfo')) });
}

function textAt(parts: Dictionary, key: string): string {
  const value = entryOf(parts, key);
  if (value === undefined) return '';
  if (value === null) return failOfNil();
  if (typeof value === 'string') return value;
  throw new FunctionError(`unable to parse ${key} key, must be of type string, but ${kindOf(value)} found`);
}

function userOf(userinfo: string): UserInfo | null {
  return userinfo === '' ? null : parsed(`proto://${userinfo}@host`, 'userinfo in dict').user;
}
