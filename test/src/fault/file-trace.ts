import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** Calls by which a program changes files, or says something to a socket. */
const CALLS = [
  ...['open', 'openat', 'creat', 'mkdir', 'mkdirat', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'link', 'linkat'],
  ...['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'sendto', 'sendmsg', 'ftruncate', 'truncate', 'fallocate', 'lseek'],
  ...['fsync', 'fdatasync', 'sync_file_range', 'copy_file_range', 'sendfile'],
];

/** Longer than anything that is written in one call. */
const MAX_BYTES = 1 << 26;

/** Arguments of strace for a trace that `readTrace` reads; the traced program is the child of whoever starts it, not of strace. */
export function traceArguments(file: string): string[] {
  const what = [`--trace=${CALLS.join(',')}`, '--decode-fds=path', '--strings-in-hex=all', `--string-limit=${MAX_BYTES}`];
  return ['--follow-forks', '--seccomp-bpf', '-qqq', '-D', `--output=${file}`, ...what, '--signal=none'];
}

/** A call has begun, or it has come back. */
export interface TracedCall {
  readonly name: string;
  /** Path of the file that it is about: of its first descriptor, or of its first name. Sockets are `socket:[N]`. */
  readonly path: string;
  /** The second name of a rename. */
  readonly otherPath: string;
  /** Its descriptor; -1: it has none. */
  readonly descriptor: number;
  /** What it writes, in one piece. */
  readonly data: Buffer;
  /** Its other arguments as they stand in the trace. */
  readonly rest: string;
}

export type TraceEvent =
  | { readonly type: 'begun'; readonly call: TracedCall }
  /** `result` is what it returned; negative: it failed. */
  | { readonly type: 'done'; readonly call: TracedCall; readonly result: number };

/** Everything that a traced program did, in order. */
export async function* readTrace(file: string): AsyncGenerator<TraceEvent> {
  const unfinished = new Map<string, TracedCall>();
  for await (const line of createInterface({ input: createReadStream(file, 'latin1') })) {
    const thread = /^\d+/.exec(line)?.[0] ?? '';
    const text = line.slice(thread.length).trimStart();
    const resumed = /^<\.\.\. \w+ resumed>.*\) += (-?\d+)/.exec(text);
    if (resumed !== null) {
      const call = unfinished.get(thread);
      unfinished.delete(thread);
      if (call !== undefined) yield { type: 'done', call, result: Number(resumed[1]) };
      continue;
    }
    const open = text.indexOf('(');
    if (open === -1 || text.startsWith('+++')) continue;
    const name = text.slice(0, open);
    if (text.endsWith('<unfinished ...>')) {
      const call = callOf(name, text.slice(open + 1));
      unfinished.set(thread, call);
      yield { type: 'begun', call };
      continue;
    }
    const end = text.lastIndexOf(') ');
    const result = /= (-?\d+)/.exec(text.slice(end))?.[1];
    const call = callOf(name, text.slice(open + 1, end));
    yield { type: 'begun', call };
    if (result !== undefined) yield { type: 'done', call, result: Number(result) };
  }
}

/** Names and data are in hexadecimal, so nothing in them looks like something else. */
function callOf(name: string, args: string): TracedCall {
  const descriptor = /^(\d+)</.exec(args);
  const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => bytesOf(hex));
  const isNamed = descriptor === null || /^(open|creat|mkdir|rename|unlink|rmdir|link|truncate)/.test(name);
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = strings;
  return {
    name,
    path: isNamed ? first.toString() : bytesOf(/^\d+<([^>]*)>/.exec(args)?.[1] ?? '').toString(),
    otherPath: isNamed ? second.toString() : '',
    descriptor: isNamed ? -1 : Number(descriptor[1]),
    data: isNamed ? Buffer.alloc(0) : Buffer.concat(strings),
    rest: args.replaceAll(/"[^"]*"/g, '""'),
  };
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll('\\x', ''), 'hex');
}
