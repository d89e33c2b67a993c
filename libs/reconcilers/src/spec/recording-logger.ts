import { createLogger, type Logger } from '@harikube/platform';

export type LogLine = Readonly<Record<string, unknown>>;

/** A logger whose lines can be read, those of `debug` too. */
export function recordingLogger(): { logger: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const logger = createLogger({ format: 'json', debug: true, destination: { write: (line) => lines.push(JSON.parse(line) as LogLine) } });
  return { logger, lines };
}
