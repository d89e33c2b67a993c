import type { TopologyDocument } from '@harikube/datasources';

/** What a source says at one moment. */
export type TopologyReading =
  | {
      readonly type: 'read';
      /** A source of one text names it "". Of a Secret these are all its keys, files of TLS among them. */
      readonly documents: readonly TopologyDocument[];
    }
  | {
      readonly type: 'unreadable';
      /** A sentence without credentials. */
      readonly reason: string;
    };

/** Follows one source of the topology. */
export interface TopologyWatcher {
  /** Tells what the source says: first of all, and then whenever that may have changed. The same may be told again. Once. */
  start(onReading: (reading: TopologyReading) => void): void;
  /** Nothing is told any more when it resolves. */
  close(): Promise<void>;
}
