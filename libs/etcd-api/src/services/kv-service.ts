import { RequestTooLargeError, type Store, type TxnRequest } from '@harikube/keyspace';
import { decodeCompactionRequest } from '../codec/compaction.js';
import { decodeDeleteRangeRequest, encodeDeleteRangeResponse } from '../codec/delete-range.js';
import { decodePutRequest, encodePutResponse } from '../codec/put.js';
import {
  decodeRangeRequest,
  encodeRangeResponse,
  encodeRangeStreamEnd,
  encodeRangeStreamPart,
  SortOrder,
  type RangeMessage,
} from '../codec/range.js';
import type { ResponseHeaderWriter } from '../codec/response-header.js';
import { decodeTxnRequest, encodeTxnResponse } from '../codec/txn.js';
import { toDeleteRangeRequest, toPutRequest, toRangeRequest, toTxnRequest } from '../requests.js';
import type { RouteTable, StreamCall, StreamHandler } from '../transport/grpc-server.js';
import type { Reply } from '../wire/reply.js';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import { WireReader } from '../wire/wire-reader.js';
import { MAX_MESSAGE_BYTES, messageTooLarge } from '../wire/wire-writer.js';
import { RangeChunks } from './range-chunks.js';

/** What etcd lets a request to its log be (`--max-request-bytes`). */
const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;

/** `etcdserverpb.KV`. */
export class KvService {
  constructor(
    private readonly store: Store,
    private readonly header: () => ResponseHeaderWriter,
  ) {}

  routes(): RouteTable {
    return {
      '/etcdserverpb.KV/Range': { kind: 'unary', cancellable: true, isRead: true, handle: (message) => this.range(message) },
      '/etcdserverpb.KV/RangeStream': { kind: 'stream', type: 'server_stream', open: (call) => this.rangeStream(call) },
      '/etcdserverpb.KV/Put': { kind: 'unary', cancellable: false, handle: (message) => this.put(message) },
      '/etcdserverpb.KV/DeleteRange': { kind: 'unary', cancellable: false, handle: (message) => this.deleteRange(message) },
      '/etcdserverpb.KV/Txn': { kind: 'unary', cancellable: false, handle: (message) => this.txn(message) },
      '/etcdserverpb.KV/Compact': { kind: 'unary', cancellable: false, handle: (message) => this.compact(message) },
    };
  }

  private range(message: Buffer): Promise<Reply> {
    return answerRange(message, this.header, this.store);
  }

  private async put(message: Buffer): Promise<Reply> {
    const request = toPutRequest(decodePutRequest(new WireReader(message)));
    checkSize(message);
    const result = await this.store.put(request);
    return encodePutResponse(this.header(), result.revision, result.prevKv);
  }

  private async deleteRange(message: Buffer): Promise<Reply> {
    const request = toDeleteRangeRequest(decodeDeleteRangeRequest(new WireReader(message)));
    checkSize(message);
    const result = await this.store.deleteRange(request);
    return encodeDeleteRangeResponse(this.header(), result.revision, result.deleted, result.prevKvs);
  }

  private async txn(message: Buffer): Promise<Reply> {
    const request = toTxnRequest(decodeTxnRequest(new WireReader(message)));
    // What only reads never gets to etcd's log.
    if (message.length > MAX_REQUEST_BYTES && !isReadOnly(request)) throw new RequestTooLargeError();
    return encodeTxnResponse(this.header(), await this.store.txn(request));
  }

  private async compact(message: Buffer): Promise<Reply> {
    const { revision, physical } = decodeCompactionRequest(new WireReader(message));
    return this.header().frame(await this.store.compact(revision, physical));
  }

  private rangeStream(call: StreamCall): StreamHandler {
    let isStarted = false;
    return {
      message: (message) => {
        if (isStarted) return;
        isStarted = true;
        this.sendRange(message, call).catch((error: unknown) => call.fail(error));
      },
      halfClosed: () => {
        if (!isStarted) call.fail(new GrpcError(GrpcCode.Internal, 'grpc: the stream ended without a message'));
      },
      drained: () => {},
      closed: () => {},
    };
  }

  private async sendRange(message: Buffer, call: StreamCall): Promise<void> {
    const wire = decodeRangeRequest(new WireReader(message));
    refuseStreamOptions(wire);
    const result = await this.store.range(toRangeRequest(wire));
    const chunks = new RangeChunks();
    const sendParts = async (block: Buffer): Promise<boolean> => {
      for (const part of chunks.add(block)) {
        call.send(encodeRangeStreamPart(part.records, part.bytes));
        if (!(await call.flushed())) return false;
      }
      return true;
    };
    for (const block of result.blocks) if (!(await sendParts(block))) return void (await result.rest?.return());
    for await (const block of result.rest ?? []) if (!(await sendParts(block))) return;
    const last = chunks.last();
    call.send(encodeRangeStreamEnd(this.header(), result, last.records, last.bytes));
    call.end();
  }
}

/** One Range over a store, or over what stands for one. */
export async function answerRange(message: Buffer, header: () => ResponseHeaderWriter, store: Pick<Store, 'range'>): Promise<Reply> {
  const request = toRangeRequest(decodeRangeRequest(new WireReader(message)));
  const result = await store.range(request);
  // Without the few bytes beside the records.
  if (result.bytes > MAX_MESSAGE_BYTES) {
    await result.rest?.return();
    throw messageTooLarge(result.bytes);
  }
  return encodeRangeResponse(header(), result);
}

/** etcd looks at the operations themselves, not at those of txns among them (server/etcdserver/txn/txn.go, IsTxnReadonly, v3.6). */
function isReadOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(({ type }) => type === 'range');
}

function checkSize(message: Buffer): void {
  if (message.length > MAX_REQUEST_BYTES) throw new RequestTooLargeError();
}

/** etcd streams in key order only, and answers anything else with UNIMPLEMENTED, on which clients fall back to Range. */
function refuseStreamOptions(message: RangeMessage): void {
  const isSorted = message.sortOrder !== SortOrder.None || message.sortTarget !== 0;
  const isFiltered =
    message.minModRevision !== 0n || message.maxModRevision !== 0n || message.minCreateRevision !== 0n || message.maxCreateRevision !== 0n;
  if (isSorted) throw new GrpcError(GrpcCode.Unimplemented, 'etcdserver: sort_order and sort_target of a range stream are not supported');
  if (isFiltered) throw new GrpcError(GrpcCode.Unimplemented, 'etcdserver: revision filters of a range stream are not supported');
}
