import { describe, expect, it } from '@jest/globals';
import { bcryptHash } from './bcrypt.js';

describe('bcryptHash', () => {
  // Hashes that golang.org/x/crypto/bcrypt takes for those of these passwords.
  it.each([
    ['U*U', Buffer.alloc(16), 5, '$2a$05$......................r4cBYij17kH/H6CuB3tR2u4Y4k3tST6'],
    ['żółw 😀', Buffer.from('00112233445566778899aabbccddeeff', 'hex'), 6, '$2a$06$./CgKyPTXlcGkYo5xL1s9u1tFx96EadF1o9Lp2FQCedUqrdjpaos2'],
    ['', Buffer.alloc(16, 255), 4, '$2a$04$999999999999999999999usNigwPo250w2OdW1j/FwpjGnNX4O.uO'],
    ['x'.repeat(72), Buffer.alloc(16, 1), 4, '$2a$04$.OC/.OC/.OC/.OC/.OC/.O34t.WXo.dzQLzwPT/Pwjf/Pgey3/GUG'],
  ])('hashes %j as Go does', (password, salt, cost, hash) => {
    expect(bcryptHash(password, salt, cost)).toBe(hash);
  });
});
