// URLs as Go's net/url reads and writes them.

import { isIPv6 } from 'node:net';
import { quoted } from '../quote.js';
import { byteText, textOfBytes } from './byte-text.js';

export interface GoUrl {
  readonly scheme: string;
  /** Of a URL whose rest does not begin with a slash; then nothing else but the query and the fragment is there. */
  readonly opaque: string;
  readonly user: UserInfo | null;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly fragment: string;
}

export interface UserInfo {
  readonly name: string;
  readonly password: string | null;
}

/** What is no URL, in Go's words. */
export class UrlError extends Error {}

// What needs no escape, beside letters and digits.
const IN_PATH = /^[\w$&+,\-./:;=@~]$/;
const IN_FRAGMENT = /^[\w!$&()*+,\-./:;=?@~]$/;
const IN_USER = /^[\w$&+,\-.;=~]$/;
const IN_HOST = /^[\w!"$&'()*+,\-.:;<=>[\]~]$/;

/** Throws a UrlError. */
export function parseUrl(text: string): GoUrl {
  const hash = text.indexOf('#');
  const before = hash < 0 ? text : text.slice(0, hash);
  const fragment = hash < 0 ? '' : text.slice(hash + 1);
  const url = within(before, () => parsed(before));
  return { ...url, fragment: within(text, () => unescaped(fragment)) };
}

/** Names the URL in the error. */
function within<T>(text: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof UrlError) throw new UrlError(`parse ${quoted(text)}: ${error.message}`, { cause: error });
    throw error;
  }
}

function parsed(text: string): GoUrl {
  const nothing = { scheme: '', opaque: '', user: null, host: '', path: '', query: '', fragment: '' };
  if (/[\0-\x1f\x7f]/.test(text)) throw new UrlError('net/url: invalid control character in URL');
  if (text === '*') return { ...nothing, path: '*' };
  if (text.startsWith(':')) throw new UrlError('missing protocol scheme');
  const [, scheme = '', afterScheme = text] = /^([a-zA-Z][a-zA-Z0-9+.-]*):([^]*)$/.exec(text) ?? [];
  const mark = afterScheme.indexOf('?');
  const rest = mark < 0 ? afterScheme : afterScheme.slice(0, mark);
  const start = { ...nothing, scheme: scheme.toLowerCase(), query: mark < 0 ? '' : afterScheme.slice(mark + 1) };
  if (!rest.startsWith('/')) {
    if (scheme !== '') return { ...start, opaque: rest };
    if ((rest.split('/')[0] ?? '').includes(':')) throw new UrlError('first path segment in URL cannot contain colon');
  }
  if (!rest.startsWith('//') || (scheme === '' && rest.startsWith('///'))) return { ...start, path: unescaped(rest) };
  const [, authority = '', path = ''] = /^\/\/([^/]*)([^]*)$/.exec(rest) ?? [];
  return { ...start, ...authorityOf(authority, start.scheme), path: unescaped(path) };
}

function authorityOf(text: string, scheme: string): { user: UserInfo | null; host: string } {
  const at = text.lastIndexOf('@');
  const host = hostOf(text.slice(at + 1), scheme);
  if (at < 0) return { user: null, host };
  const user = text.slice(0, at);
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user)) throw new UrlError('net/url: invalid userinfo');
  const colon = user.indexOf(':');
  if (colon < 0) return { user: { name: unescaped(user), password: null }, host };
  return { user: { name: unescaped(user.slice(0, colon)), password: unescaped(user.slice(colon + 1)) }, host };
}

function hostOf(text: string, scheme: string): string {
  const bracket = text.lastIndexOf('[');
  if (bracket > 0) throw new UrlError('invalid IP-literal');
  if (bracket === 0) return addressOf(text);
  // Only of a web address is more than one colon a mistake.
  const isWeb = scheme === 'http' || scheme === 'https';
  const colon = isWeb ? text.indexOf(':') : text.lastIndexOf(':');
  if (colon >= 0) checkPort(text.slice(colon));
  return unescapedHost(text);
}

function addressOf(text: string): string {
  const end = text.lastIndexOf(']');
  if (end < 0) throw new UrlError("missing ']' in host");
  const port = text.slice(end + 1);
  checkPort(port);
  const [address = '', zone] = text.slice(1, end).split(/%25([^]*)/);
  const host = unescapedHost(address) + (zone === undefined ? '' : `%${unescaped(zone)}`);
  if (!isIPv6(host)) throw new UrlError(`invalid host: ParseAddr(${quoted(host)}): unable to parse IP`);
  return `[${host}]${port}`;
}

function checkPort(port: string): void {
  if (!/^(:\d*)?$/.test(port)) throw new UrlError(`invalid port ${quoted(port)} after host`);
}

function unescapedHost(text: string): string {
  for (const [piece] of byteText(text).matchAll(/%[^]{0,2}|[^]/g)) {
    if (piece.startsWith('%')) {
      checkEscape(piece);
      if (/^%[0-7]/.test(piece) && piece !== '%25') throw new UrlError(`invalid URL escape ${quoted(piece)}`);
    } else if (piece < '\x80' && !IN_HOST.test(piece)) {
      throw new UrlError(`invalid character ${quoted(piece)} in host name`);
    }
  }
  return unescaped(text);
}

function unescaped(text: string): string {
  if (!text.includes('%')) return text;
  const bytes = byteText(text).replace(/%[^]{0,2}/g, (piece) => {
    checkEscape(piece);
    return String.fromCharCode(Number.parseInt(piece.slice(1), 16));
  });
  return textOfBytes(bytes);
}

/** A byte text of a percent sign and what follows it. */
function checkEscape(bytes: string): void {
  if (/^%[0-9a-fA-F]{2}$/.test(bytes)) return;
  // What is cut inside of a character is shown by its bytes.
  const whole = /^(?:[\0-\x7f]|[\xc0-\xdf][\x80-\xbf])*/.exec(bytes)?.[0] ?? '';
  const rest = [...bytes.slice(whole.length)].map((byte) => `\\x${byte.charCodeAt(0).toString(16)}`).join('');
  throw new UrlError(`invalid URL escape ${quoted(textOfBytes(whole)).slice(0, -1)}${rest}"`);
}

function escaped(text: string, plain: RegExp): string {
  return [...byteText(text)]
    .map((byte) => (plain.test(byte) ? byte : `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`))
    .join('');
}

export function userText({ name, password }: UserInfo): string {
  return escaped(name, IN_USER) + (password === null ? '' : `:${escaped(password, IN_USER)}`);
}

export function hostnameOf(host: string): string {
  const name = host.replace(/:\d*$/, '');
  return name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name;
}

export function urlText({ scheme, opaque, user, host, path, query, fragment }: GoUrl): string {
  let text = scheme === '' ? '' : `${scheme}:`;
  if (opaque === '') {
    if ((scheme !== '' || host !== '' || user !== null) && (host !== '' || path !== '' || user !== null)) {
      text += `//${user === null ? '' : `${userText(user)}@`}${escaped(host, IN_HOST)}`;
    }
    const escapedPath = path === '*' ? path : escaped(path, IN_PATH);
    if (escapedPath !== '' && !escapedPath.startsWith('/') && host !== '') text += '/';
    if (text === '' && (escapedPath.split('/')[0] ?? '').includes(':')) text += './';
    text += escapedPath;
  } else {
    text += opaque;
  }
  if (query !== '') text += `?${query}`;
  return fragment === '' ? text : `${text}#${escaped(fragment, IN_FRAGMENT)}`;
}
