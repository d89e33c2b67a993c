import { describe, expect, it } from '@jest/globals';
import type { KubeClient, KubeList, Resource, WatchEvent } from '@harikube/kube';
import { awaitCondition, type Conditioned } from './await-condition.js';

const THINGS: Resource<Conditioned> = { group: 'test', version: 'v1', kind: 'Thing', plural: 'things', namespaced: false };

function thing(status: string, message = ''): Conditioned {
  return { metadata: { name: 'one' }, status: { conditions: [{ type: 'Ready', status, message }] } };
}

/** Answers each list with the next of `lists`, and each watch with the next of `watches`; a watch beyond them stays open. */
function client(lists: readonly Conditioned[][], watches: readonly WatchEvent<Conditioned>[][] = []): Pick<KubeClient, 'list' | 'watch'> {
  let listed = 0;
  let watched = 0;
  const list = async (): Promise<KubeList<Conditioned>> => {
    await Promise.resolve();
    return { metadata: { resourceVersion: '1' }, items: lists[Math.min(listed++, lists.length - 1)] ?? [] };
  };
  async function* watch(_resource: unknown, { signal }: { readonly signal?: AbortSignal }): AsyncGenerator<WatchEvent<Conditioned>> {
    const events = watches[watched++];
    if (events !== undefined) yield* events;
    else {
      await new Promise((_resolve, reject) => {
        const end = (): void => reject(new Error('aborted'));
        signal?.addEventListener('abort', end);
        if (signal?.aborted === true) end();
      });
    }
  }
  return { list, watch } as never;
}

const wait = (from: Pick<KubeClient, 'list' | 'watch'>, timeoutMs = 30_000, signal = new AbortController().signal): Promise<void> =>
  awaitCondition(from, THINGS, { name: 'one', type: 'Ready', timeoutMs, signal });

describe('awaitCondition', () => {
  it('resolves at once when it is so already', async () => {
    await wait(client([[thing('True')]]));
  });

  it('resolves when a watch tells', async () => {
    await wait(
      client(
        [[]],
        [
          [
            { type: 'ADDED', object: thing('False') },
            { type: 'MODIFIED', object: thing('True') },
          ],
        ],
      ),
    );
  });

  it('looks again when a watch ends, or is too old', async () => {
    const gone: WatchEvent<Conditioned> = { type: 'ERROR', object: { metadata: {} } };
    await wait(client([[], [], [thing('True')]], [[], [gone]]));
  });

  it('says after the time what was told last', async () => {
    await expect(wait(client([[thing('False', 'no endpoints')]]), 1)).rejects.toThrow('Thing one is not Ready after 0.001s: no endpoints');
    await expect(wait(client([[]]), 1)).rejects.toThrow('there is none of this name');
  });

  it('ends with the signal', async () => {
    const stop = new AbortController();
    const waiting = wait(client([[]]), 30_000, stop.signal);
    stop.abort();
    await expect(waiting).rejects.toThrow('abort');
  });
});
