import { describe, expect, it } from '@jest/globals';
import { createLogger, type LogFormat, type Logger, NestLogger } from './logger.js';

function recording(format: LogFormat, debug = false): { lines: string[]; logger: Logger } {
  const lines: string[] = [];
  return { lines, logger: createLogger({ format, debug, destination: { write: (line) => lines.push(line) } }) };
}

describe('createLogger', () => {
  it('writes one JSON object a line', () => {
    const { lines, logger } = recording('json');
    logger.child({ backend: 'user' }).info('batch committed', { revision: 12n, key: Buffer.from('/registry/a'), size: 3 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/\n$/);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      backend: 'user',
      revision: '12',
      key: '/registry/a',
      size: 3,
      msg: 'batch committed',
    });
  });

  it('writes plain lines for people', () => {
    const { lines, logger } = recording('plain');
    logger.warn('key refused', { key: '/registry/a b', count: 2, names: ['a'], plain: 'x' });
    expect(lines[0]?.replace(/^\S+ /, '')).toBe('WARN  key refused key="/registry/a b" count=2 names=["a"] plain=x\n');
  });

  it('keeps a line break in a field from starting a line', () => {
    const { lines, logger } = recording('plain');
    logger.info('request', { key: 'a\nERROR forged' });
    expect(lines[0]?.split('\n')).toHaveLength(2);
  });

  it('writes an error with its stack and causes', () => {
    const error = new Error('cannot open', { cause: new TypeError('no such file') });
    const plain = recording('plain');
    plain.logger.error('backend failed', { err: error });
    expect(plain.lines[0]).toMatch(
      /ERROR backend failed err="cannot open"\n {2}Error: cannot open\n {2,}at [^]*caused by err="no such file"\n {2}TypeError/,
    );
    const json = recording('json');
    json.logger.error('backend failed', { err: error });
    expect(JSON.parse(json.lines[0] ?? '')).toMatchObject({ err: { name: 'Error', message: 'cannot open', cause: { name: 'TypeError' } } });
  });

  it('writes debug lines only when told', () => {
    const quiet = recording('plain');
    quiet.logger.debug('detail');
    expect(quiet.lines).toEqual([]);
    const loud = recording('plain', true);
    loud.logger.debug('detail');
    expect(loud.lines).toHaveLength(1);
  });
});

describe('NestLogger', () => {
  it("passes Nest's lines on with the name of their class", () => {
    const { lines, logger } = recording('json', true);
    const nest = new NestLogger(logger);
    nest.log('Mapped {/livez, GET} route', 'RouterExplorer');
    nest.error('failed', 'Error: failed\n    at x', 'HealthController');
    nest.warn({ a: 1 });
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({ level: 'debug', msg: 'Mapped {/livez, GET} route', context: 'RouterExplorer' }),
      expect.objectContaining({ level: 'error', msg: 'failed', context: 'HealthController', stack: 'Error: failed\n    at x' }),
      expect.objectContaining({ level: 'warn', msg: '{"a":1}' }),
    ]);
  });
});
