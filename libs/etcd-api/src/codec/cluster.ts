import { writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** What `etcdserverpb.Member` says of the one member there is. */
export interface MemberMessage {
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
}

/** The answer to MemberList: `header`=1, `members`=2 of `ID`=1, `name`=2, `peerURLs`=3, `clientURLs`=4. */
export function encodeMemberListResponse(header: ResponseHeaderWriter, member: MemberMessage): Buffer {
  const target = writer.reset();
  // etcd tells no revision here.
  header.write(target, 0n);
  const mark = target.begin(2);
  target.int64(1, header.identity.memberId);
  target.string(2, member.name);
  for (const url of member.peerUrls) target.string(3, url);
  for (const url of member.clientUrls) target.string(4, url);
  target.end(mark);
  return target.frame();
}
