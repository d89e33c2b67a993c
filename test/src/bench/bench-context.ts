import type { StorePrograms } from './stores.js';

/** What measurements of a store need. */
export interface LoadContext {
  /** The load client. */
  readonly client: string;
  readonly programs: StorePrograms;
  /** For data; removed at the end. */
  readonly folder: string;
  readonly note: (text: string) => void;
}
