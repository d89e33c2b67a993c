import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import PostalMime, { type Address } from 'postal-mime';
import { errorCode } from '@harikube/local-cluster';

/** A mail as the list shows it. */
export interface CaughtMail {
  /** Name of its file without `.eml`. */
  readonly id: string;
  /** When it came. */
  readonly time: string;
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  /** Empty: it has none. */
  readonly messageId: string;
  readonly bytes: number;
  /** A mail with this Message-ID had come before. */
  readonly isRepeat: boolean;
}

type Headers = Pick<CaughtMail, 'from' | 'to' | 'subject' | 'messageId'>;

const EXTENSION = '.eml';
const DRAFT = '.tmp';
const ID = /^(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z)-(\d{1,15})-[\w.@-]*$/;
/** More than the headers of a usual mail; what is beyond is read when the mail is looked at. */
const HEADER_BYTES = 64 * 1024;
const MAX_MESSAGE_ID = 120;
/** Files that are read at once while the folder is looked through. */
const PARALLEL_READS = 32;

/** The mails of a folder, a file each; what the list shows of them is kept in memory. */
export class MailStore {
  readonly #folder: string;
  readonly #mails = new Map<string, CaughtMail>();
  readonly #messageIds = new Set<string>();
  #number: number;

  private constructor(folder: string, number: number) {
    this.#folder = folder;
    this.#number = number;
  }

  /** Makes the folder when there is none, and reads what it holds. */
  static async open(folder: string): Promise<MailStore> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = await readdir(folder);
    // Of a mail that nobody was told to be stored.
    await Promise.all(names.filter((name) => name.endsWith(DRAFT)).map((name) => rm(join(folder, name), { force: true })));
    const ids = names.filter((name) => name.endsWith(EXTENSION)).map((name) => name.slice(0, -EXTENSION.length));
    const known = ids.flatMap((id) => {
      const match = ID.exec(id);
      return match === null ? [] : [{ id, number: Number(match[2]) }];
    });
    known.sort((one, other) => one.number - other.number);
    const store = new MailStore(folder, known.at(-1)?.number ?? 0);
    for (let start = 0; start < known.length; start += PARALLEL_READS) {
      const heads = known.slice(start, start + PARALLEL_READS).map(async ({ id }) => ({ id, head: await store.#readHead(id) }));
      for (const { id, head } of await Promise.all(heads)) if (head !== null) store.#index(id, head.headers, head.bytes);
    }
    return store;
  }

  /** Stores a mail whole: when it resolves, the mail outlives the machine's power. */
  async add(content: Uint8Array, time: Date): Promise<CaughtMail> {
    const headers = await headersOf(content.subarray(0, HEADER_BYTES));
    const safe = headers.messageId.replace(/^<|>$/g, '').replace(/[^\w.@-]+/g, '_');
    const id = `${time.toISOString().replaceAll(':', '-')}-${++this.#number}-${safe.slice(0, MAX_MESSAGE_ID)}`;
    const draft = join(this.#folder, `${id}${DRAFT}`);
    try {
      await writeDurably(draft, content);
      await rename(draft, this.#file(id));
      await syncFolder(this.#folder);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
    return this.#index(id, headers, content.length);
  }

  get size(): number {
    return this.#mails.size;
  }

  /** The newest first. */
  list(offset = 0, limit = this.size): CaughtMail[] {
    const all = [...this.#mails.values()];
    const end = Math.max(0, all.length - offset);
    return all.slice(Math.max(0, end - limit), end).reverse();
  }

  /** What the list shows of a mail; undefined: there is none of this id. */
  get(id: string): CaughtMail | undefined {
    return this.#mails.get(id);
  }

  /** The mail as it came; null: there is none, or somebody has removed its file, and the list forgets it. */
  async load(id: string): Promise<Buffer | null> {
    if (!this.#mails.has(id)) return null;
    try {
      return await readFile(this.#file(id));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      this.#mails.delete(id);
      return null;
    }
  }

  #file(id: string): string {
    return join(this.#folder, `${id}${EXTENSION}`);
  }

  #index(id: string, headers: Headers, bytes: number): CaughtMail {
    const { messageId } = headers;
    const mail = { id, time: timeOf(id), ...headers, bytes, isRepeat: messageId !== '' && this.#messageIds.has(messageId) };
    this.#messageIds.add(messageId);
    this.#mails.set(id, mail);
    return mail;
  }

  async #readHead(id: string): Promise<{ readonly headers: Headers; readonly bytes: number } | null> {
    try {
      const file = await open(this.#file(id));
      try {
        const { size } = await file.stat();
        const buffer = Buffer.alloc(Math.min(size, HEADER_BYTES));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
        return { headers: await headersOf(buffer.subarray(0, bytesRead)), bytes: size };
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }
}

/** Mailboxes as people read them, joined by commas. */
export function addressText(addresses: readonly Address[]): string {
  return addresses
    .flatMap((address) => address.group ?? [address])
    .map(({ name, address }) => (name === '' ? address : `${name} <${address}>`))
    .join(', ');
}

function timeOf(id: string): string {
  return id.slice(0, 24).replace(/T(\d\d)-(\d\d)-/, 'T$1:$2:');
}

async function headersOf(head: Uint8Array): Promise<Headers> {
  try {
    const { from, to = [], subject = '', messageId = '' } = await PostalMime.parse(headersAlone(head));
    return { from: addressText(from === undefined ? [] : [from]), to: addressText(to), subject, messageId };
  } catch {
    // Whatever was sent is kept, also what is no mail.
    return { from: '', to: '', subject: '', messageId: '' };
  }
}

/** Up to the empty line. */
function headersAlone(head: Uint8Array): Uint8Array {
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  const ends = ['\r\n\r\n', '\n\n'].map((mark) => text.indexOf(mark)).filter((at) => at >= 0);
  return text.subarray(0, ends.length === 0 ? text.length : Math.min(...ends) + 2);
}

async function writeDurably(path: string, content: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The name of a file is part of its folder. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
