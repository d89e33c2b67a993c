import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { runProgram } from '../../run-program.js';

/** Of the third part of the network's address: other stand-ins of this machine have theirs. */
const NETWORKS = 250;
/** Pods have the lower half of the network, Services the upper one. */
const FIRST_POD = 2;
const LAST_POD = 126;

/** Where a Pod is in the network. */
export interface PodPlace {
  /** Name of its network namespace. */
  readonly namespace: string;
  readonly address: string;
}

/** Ends every process of the network, and takes away what was made: at the end of the pipe, so also when the test is gone. */
const GUARD = `
read -r line
for namespace in $(ip netns list | cut -d' ' -f1 | grep "^$1-"); do
  while pids=$(ip netns pids "$namespace") && [ -n "$pids" ]; do kill -9 $pids 2>/dev/null; sleep 0.05; done
  ip netns del "$namespace"
done
# A namespace may outlive its name for the sake of its last connections, and keep its half of a pair.
for link in $(ls "/sys/class/net/$1/brif"); do ip link del "$link"; done
ip link del "$1"
rm -rf --one-file-system "$2"
`;

/** A bridge of this machine, and a network namespace with an address for each Pod. */
export class PodNetwork {
  readonly #addresses = new Set<number>();
  /** `ip` takes no two changes of one bridge well. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly bridge: string,
    readonly number: number,
    private readonly guard: ChildProcess,
  ) {}

  /** Everything of the Pods is below `folder`, which goes with the network. */
  static async create(folder: string): Promise<PodNetwork> {
    const start = process.pid % NETWORKS;
    for (let tried = 0; tried < NETWORKS; tried++) {
      const number = 1 + ((start + tried) % NETWORKS);
      const bridge = `hk-pods-${number}`;
      try {
        // Two stand-ins that want the same: one of them is told that it exists.
        // Else a bridge takes over the lowest hardware address of its Pods, and those that know another one wait for seconds.
        await runProgram('ip', ['link', 'add', bridge, 'address', hardwareAddress(number, 1), 'type', 'bridge']);
      } catch (error) {
        if (/File exists/.test(String(error))) continue;
        throw error;
      }
      const guard = spawn('/bin/sh', ['-c', GUARD, 'guard', bridge, folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
      guard.unref();
      if (guard.stdin instanceof Socket) guard.stdin.unref();
      const network = new PodNetwork(bridge, number, guard);
      await runProgram('ip', ['addr', 'add', `${network.address}/24`, 'dev', bridge]);
      await runProgram('ip', ['link', 'set', bridge, 'up']);
      return network;
    }
    throw new Error('no network is left for Pods: see `ip link` for hk-pods-*');
  }

  /** Of the node: Pods reach this machine by it. */
  get address(): string {
    return this.#addressOf(1);
  }

  /** For `--service-cluster-ip-range`. */
  get serviceRange(): string {
    return `${this.#addressOf(128)}/25`;
  }

  async addPod(): Promise<PodPlace> {
    return await this.#inTurn(async () => {
      const number = this.#freeNumber();
      this.#addresses.add(number);
      const namespace = `${this.bridge}-${number}`;
      const outer = this.#linkOf(number);
      const inside = ['netns', 'exec', namespace, 'ip'];
      await runProgram('ip', ['netns', 'add', namespace]);
      const hardware = ['address', hardwareAddress(this.number, number)];
      await runProgram('ip', ['link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', ...hardware, 'netns', namespace]);
      await runProgram('ip', ['link', 'set', outer, 'master', this.bridge, 'up']);
      const address = this.#addressOf(number);
      await runProgram('ip', [...inside, 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
      await runProgram('ip', [...inside, 'link', 'set', 'lo', 'up']);
      await runProgram('ip', [...inside, 'link', 'set', 'eth0', 'up']);
      await runProgram('ip', [...inside, 'route', 'add', 'default', 'via', this.address]);
      return { namespace, address };
    });
  }

  /** Nothing runs in it any more. */
  async removePod({ namespace, address }: PodPlace): Promise<void> {
    await this.#inTurn(async () => {
      const number = Number(address.split('.')[3]);
      await runProgram('ip', ['link', 'del', this.#linkOf(number)]);
      await runProgram('ip', ['netns', 'del', namespace]);
      this.#addresses.delete(number);
    });
  }

  /** Lets this machine answer at the address of a Service. */
  async addService(address: string): Promise<void> {
    await this.#inTurn(() => runProgram('ip', ['addr', 'add', `${address}/32`, 'dev', this.bridge]));
  }

  async removeService(address: string): Promise<void> {
    await this.#inTurn(() => runProgram('ip', ['addr', 'del', `${address}/32`, 'dev', this.bridge]));
  }

  /** Ends what runs in it and takes everything away. */
  async remove(): Promise<void> {
    const ended = once(this.guard, 'exit');
    this.guard.stdin?.end();
    await ended;
  }

  #addressOf(number: number): string {
    return `10.89.${this.number}.${number}`;
  }

  /** This machine's end of a Pod's pair. */
  #linkOf(number: number): string {
    return `hkp${this.number}-${number}`;
  }

  #freeNumber(): number {
    for (let number = FIRST_POD; number <= LAST_POD; number++) if (!this.#addresses.has(number)) return number;
    throw new Error(`no address is left for another Pod: ${this.#addresses.size} are there`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work, work);
    this.#last = next.catch(() => undefined);
    return next;
  }
}

/** The same for each Pod that gets the same address: nobody has to forget the one before. */
function hardwareAddress(network: number, host: number): string {
  return ['02', '68', '6b', '00', ...[network, host].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
