import type { Output, OutputFormat } from '../output.js';

/** An output whose lines a spec reads. */
export class RecordedOutput implements Output {
  readonly lines: string[] = [];
  readonly notes: string[] = [];

  constructor(readonly format: OutputFormat = 'text') {}

  readonly line = (text: string): void => void this.lines.push(text);
  readonly note = (text: string): void => void this.notes.push(text);

  get text(): string {
    return this.lines.join('\n');
  }
}
