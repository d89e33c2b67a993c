/** Where long steps say how far they are. */
export interface Progress {
  /** A fact worth keeping on the screen. */
  note(text: string): void;
  /** The state of a step under way; each one replaces the one before. Called at least every few seconds while the step runs. */
  update(text: string): void;
}

export const silent: Progress = { note: () => undefined, update: () => undefined };

/** 83 000 ms as `1m23s`. */
export function formatElapsed(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, '0')}s`;
}
