import { type IncomingMessage, request as httpRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Container, Handler } from './pod.js';

/** Runs a command in the container. */
type Exec = (command: readonly string[], timeoutMs: number) => Promise<number | null>;

/** One attempt; the reason of its failure, null when it succeeded. */
export async function attempt(
  handler: Handler,
  container: Container,
  { address, exec, timeoutMs }: { readonly address: string; readonly exec: Exec; readonly timeoutMs: number },
): Promise<string | null> {
  const { exec: command, httpGet, tcpSocket, grpc } = handler;
  if (command !== undefined) {
    const code = await exec(command.command, timeoutMs);
    return code === 0 ? null : `the command ended with ${code ?? 'its timeout'}`;
  }
  if (httpGet !== undefined) {
    const host = httpGet.host ?? address;
    const port = portOf(httpGet.port, container);
    const headers = Object.fromEntries((httpGet.httpHeaders ?? []).map(({ name, value }) => [name, value]));
    const path = httpGet.path ?? '/';
    const status = await statusOf(
      httpGet.scheme === 'HTTPS',
      { host, port, path, headers: { 'user-agent': 'kube-probe/1', ...headers } },
      timeoutMs,
    );
    return typeof status === 'number' && status >= 200 && status < 400 ? null : `${path} answered ${status}`;
  }
  if (tcpSocket !== undefined) return await reach(tcpSocket.host ?? address, portOf(tcpSocket.port, container), timeoutMs);
  if (grpc !== undefined) return await grpcHealth(address, grpc.port, grpc.service ?? '', timeoutMs);
  return 'the probe does nothing that is known';
}

function portOf(port: number | string, { name, ports = [] }: Container): number {
  if (typeof port === 'number') return port;
  const named = ports.find((each) => each.name === port);
  if (named === undefined) throw new Error(`container ${name} has no port called ${port}`);
  return named.containerPort;
}

function statusOf(
  isTls: boolean,
  target: { readonly host: string; readonly port: number; readonly path: string; readonly headers: Record<string, string> },
  timeoutMs: number,
): Promise<number | string> {
  return new Promise((resolve) => {
    const options = { ...target, agent: false as const, signal: AbortSignal.timeout(timeoutMs) };
    const onAnswer = (answer: IncomingMessage): void => {
      answer.resume();
      answer.on('error', () => undefined);
      resolve(answer.statusCode ?? 0);
    };
    // As the kubelet: the certificate is not what a probe is about.
    const request = isTls ? httpsRequest({ ...options, rejectUnauthorized: false }, onAnswer) : httpRequest(options, onAnswer);
    request.on('error', (error) => resolve(error.message));
    request.end();
  });
}

function reach(host: string, port: number, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const finish = (reason: string | null): void => {
      socket.destroy();
      resolve(reason);
    };
    socket.once('connect', () => finish(null));
    socket.once('timeout', () => finish('no connection in time'));
    socket.once('error', (error) => finish(error.message));
  });
}

/** SERVING of grpc.health.v1: field 1 of the answer is 1. */
const SERVING = Buffer.from([0, 0, 0, 0, 2, 8, 1]);

function grpcHealth(host: string, port: number, service: string, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${host}:${port}`);
    const finish = (reason: string | null): void => {
      clearTimeout(timer);
      session.destroy();
      resolve(reason);
    };
    const timer = setTimeout(() => finish('no answer in time'), timeoutMs);
    session.on('error', (error: Error) => finish(error.message));
    const name = Buffer.from(service);
    const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([10, name.length]), name]);
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', (error: Error) => finish(error.message));
    stream.on('end', () => finish(Buffer.concat(chunks).equals(SERVING) ? null : 'it does not serve'));
    stream.end(frame);
  });
}
