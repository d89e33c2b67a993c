import { decodeKeyValue, type Revision, type WatchMessage, type WatchSink } from '@harikube/keyspace';
import { fieldsOf } from './protobuf-fields.js';
import type { WatchedEvent, WatchedMessage } from './history-checker.js';

/** The receiving end of a watch stream in a test: keeps what it is told, reads as slowly as it is asked to. */
export class WatchRecorder implements WatchSink {
  readonly messages: WatchMessage[] = [];
  error: Error | null = null;
  /** Answers `send` with false as long as it is set. */
  isSlow = false;
  /** Called with each message, before `send` returns. */
  onMessage: (message: WatchMessage) => void = () => undefined;
  #waiting: (() => void)[] = [];

  send(message: WatchMessage): boolean {
    if (this.error !== null) throw new Error('a message was sent on a stream that had failed');
    this.messages.push(message);
    this.onMessage(message);
    this.#tell();
    return !this.isSlow;
  }

  fail(error: Error): void {
    this.error = error;
    this.#tell();
  }

  /** Resolves when `holds` does; it is asked after each message. */
  async until(holds: (recorder: WatchRecorder) => boolean): Promise<void> {
    while (!holds(this)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Events of one watch, in the order in which they came. */
  events(watchId = 0n): WatchedEvent[] {
    return this.history(watchId).flatMap((message) => (message.type === 'events' ? [...message.events] : []));
  }

  /** Events and progress of one watch; progress of the whole stream included. */
  history(watchId = 0n): WatchedMessage[] {
    const told: WatchedMessage[] = [];
    for (const message of this.messages) {
      if (message.type === 'events' && message.watchId === watchId) {
        told.push({ type: 'events', revision: message.revision, events: message.events.map(decodeEvent) });
      } else if (message.type === 'progress' && (message.watchId === watchId || message.watchId === -1n)) {
        told.push({ type: 'progress', revision: message.revision });
      }
    }
    return told;
  }

  /** Newest revision that the watch certainly has. */
  reached(watchId = 0n): Revision {
    let reached = 0n;
    for (const message of this.history(watchId)) {
      const revision = message.type === 'progress' ? message.revision : (message.events.at(-1)?.revision ?? 0n);
      if (revision > reached) reached = revision;
    }
    return reached;
  }

  /** One line a message: easy to compare. */
  texts(): string[] {
    return this.messages.map((message) => {
      switch (message.type) {
        case 'created':
          return `created ${message.watchId} at ${message.revision}`;
        case 'canceled':
          return `canceled ${message.watchId}${message.refused ? ' refused' : ''}${message.compactRevision > 0n ? ` compacted ${message.compactRevision}` : ''}${message.reason === '' ? '' : `: ${message.reason}`}`;
        case 'progress':
          return `progress ${message.watchId} at ${message.revision}`;
        case 'events':
          return `events ${message.watchId}: ${message.events.map(decodeEvent).map(eventText).join(', ')}`;
      }
    });
  }

  #tell(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

export function eventText(event: WatchedEvent): string {
  const prev = event.prev === null ? '' : ` was ${event.prev.value}@${event.prev.revision}`;
  return event.isDelete ? `${event.key} deleted@${event.revision}${prev}` : `${event.key}=${event.value}@${event.revision}${prev}`;
}

/** Reads a framed event: field 11 of WatchResponse. */
function decodeEvent(framed: Buffer): WatchedEvent {
  const [body, ...others] = fieldsOf(framed);
  if (body === undefined || others.length > 0 || body.field !== 11 || body.bytes === null)
    throw new Error('an event is not framed as field 11');
  return decodeEventBody(body.bytes);
}

/** Reads an `mvccpb.Event` (type=1, kv=2, prev_kv=3). */
export function decodeEventBody(event: Buffer): WatchedEvent {
  let isDelete = false;
  let kv: Buffer | null = null;
  let prev: Buffer | null = null;
  for (const { field, bytes, number } of fieldsOf(event)) {
    if (field === 1) isDelete = number === 1n;
    else if (field === 2) kv = bytes;
    else if (field === 3) prev = bytes;
    else throw new Error(`an event has a field ${field}`);
  }
  if (kv === null) throw new Error('an event has no kv');
  return watchedEvent(isDelete, kv, prev);
}

export function watchedEvent(isDelete: boolean, record: Buffer, prevRecord: Buffer | null): WatchedEvent {
  const { key, value, modRevision, createRevision, version } = decodeKeyValue(record);
  const was = prevRecord === null ? null : decodeKeyValue(prevRecord);
  return {
    revision: modRevision,
    key: key.toString('latin1'),
    isDelete,
    value: value.toString('latin1'),
    createRevision,
    version,
    prev: was === null ? null : { revision: was.modRevision, value: was.value.toString('latin1') },
  };
}
