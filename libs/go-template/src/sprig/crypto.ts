// Hashes, random texts and ciphers. What makes keys and certificates is not here.

import { createCipheriv, createDecipheriv, createHash, randomBytes, randomInt, randomUUID } from 'node:crypto';
import { FunctionError, type TemplateFunction } from '../template-function.js';
import { bcryptHash, MAX_PASSWORD_BYTES } from './bcrypt.js';
import { checkTextLength } from './bounds.js';
import { decoded } from './byte-text.js';
import { CertificatePair } from './certificate-pair.js';
import { fixed } from './declaration.js';
import { derivedPassword } from './derived-password.js';
import { base64Decoded, EncodingError } from './encoding.js';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const DIGITS = '0123456789';
const ASCII = Array.from({ length: 95 }, (_, place) => String.fromCharCode(0x20 + place)).join('');

const AES_BLOCK = 16;
const AES_KEY = 32;
const MAX_UINT32 = 2n ** 32n - 1n;

export const CRYPTO_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['sha1sum', fixed(['string'], (text) => hash('sha1', text))],
  ['sha256sum', fixed(['string'], (text) => hash('sha256', text))],
  ['sha512sum', fixed(['string'], (text) => hash('sha512', text))],
  ['adler32sum', fixed(['string'], adler32)],
  ['bcrypt', fixed(['string'], bcrypt)],
  [
    'htpasswd',
    fixed(['string', 'string'], (user, password) => (user.includes(':') ? `invalid username: ${user}` : `${user}:${bcrypt(password)}`)),
  ],
  ['derivePassword', fixed(['int', 'string', 'string', 'string', 'string'], derivePassword)],
  ['buildCustomCert', fixed(['string', 'string'], (cert, key) => new CertificatePair(cert, key))],
  ['encryptAES', fixed(['string', 'string'], encryptAes)],
  ['decryptAES', fixed(['string', 'string'], decryptAes)],
  ['randBytes', fixed(['int'], randBytes)],
  ['randAlphaNum', fixed(['int'], (count) => randomText(count, LETTERS + DIGITS))],
  ['randAlpha', fixed(['int'], (count) => randomText(count, LETTERS))],
  ['randNumeric', fixed(['int'], (count) => randomText(count, DIGITS))],
  ['randAscii', fixed(['int'], (count) => randomText(count, ASCII))],
  ['shuffle', fixed(['string'], shuffled)],
  ['uuidv4', fixed([], () => randomUUID())],
]);

function hash(algorithm: string, text: string): string {
  return createHash(algorithm).update(text).digest('hex');
}

function adler32(text: string): string {
  let sum = 1;
  let sumOfSums = 0;
  for (const byte of Buffer.from(text)) {
    sum = (sum + byte) % 65_521;
    sumOfSums = (sumOfSums + sum) % 65_521;
  }
  return String(sumOfSums * 65_536 + sum);
}

function bcrypt(password: string): string {
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    return `failed to encrypt string with bcrypt: bcrypt: password length exceeds ${MAX_PASSWORD_BYTES} bytes`;
  }
  return bcryptHash(password, randomBytes(16));
}

function derivePassword(counter: bigint, type: string, password: string, user: string, site: string): string {
  if (counter < 0n || counter > MAX_UINT32) throw new FunctionError(`the counter ${counter} is no uint32`);
  return derivedPassword({ counter: Number(counter), type, password, user, site }) ?? `cannot find password template ${type}`;
}

function aesKey(password: string): Buffer {
  const key = Buffer.alloc(AES_KEY);
  Buffer.from(password).copy(key);
  return key;
}

function encryptAes(password: string, text: string): string {
  if (text === '') return '';
  const start = randomBytes(AES_BLOCK);
  const cipher = createCipheriv('aes-256-cbc', aesKey(password), start);
  return Buffer.concat([start, cipher.update(text), cipher.final()]).toString('base64');
}

/** The padding is taken off by its last byte, whatever it says. */
function decryptAes(password: string, text: string): string {
  if (text === '') return '';
  const bytes = aesBytes(text);
  if (bytes.length < AES_BLOCK)
    throw new FunctionError(`runtime error: slice bounds out of range [:${AES_BLOCK}] with capacity ${bytes.length}`);
  if (bytes.length % AES_BLOCK !== 0) throw new FunctionError('crypto/cipher: input not full blocks');
  const decipher = createDecipheriv('aes-256-cbc', aesKey(password), bytes.subarray(0, AES_BLOCK)).setAutoPadding(false);
  const plain = Buffer.concat([decipher.update(bytes.subarray(AES_BLOCK)), decipher.final()]);
  const last = plain.at(-1);
  if (last === undefined) throw new FunctionError('runtime error: index out of range [-1]');
  if (last > plain.length) throw new FunctionError(`runtime error: slice bounds out of range [:${plain.length - last}]`);
  return decoded(plain.subarray(0, plain.length - last));
}

function aesBytes(text: string): Buffer {
  try {
    return base64Decoded(text);
  } catch (error) {
    if (error instanceof EncodingError) throw new FunctionError(error.message, { cause: error });
    throw error;
  }
}

function randBytes(count: bigint): string {
  if (count < 0n) throw new FunctionError('runtime error: makeslice: len out of range');
  checkTextLength((count * 4n) / 3n);
  return randomBytes(Number(count)).toString('base64');
}

function randomText(count: bigint, characters: string): string {
  if (count <= 0n) return '';
  checkTextLength(count);
  return Array.from({ length: Number(count) }, () => characters.charAt(randomInt(characters.length))).join('');
}

function shuffled(text: string): string {
  const runes = [...text];
  for (let last = runes.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [runes[last], runes[other]] = [runes[other] ?? '', runes[last] ?? ''];
  }
  return runes.join('');
}
