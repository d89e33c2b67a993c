import type { RouteTable } from '../transport/grpc-server.js';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import { refusedMethod } from './refused-method.js';

const METHODS = [
  'AuthEnable',
  'AuthDisable',
  'AuthStatus',
  'Authenticate',
  'UserAdd',
  'UserGet',
  'UserList',
  'UserDelete',
  'UserChangePassword',
  'UserGrantRole',
  'UserRevokeRole',
  'RoleAdd',
  'RoleGet',
  'RoleList',
  'RoleDelete',
  'RoleGrantPermission',
  'RoleRevokePermission',
];

/** `etcdserverpb.Auth`. A client that has a user and a password goes on without them when it gets this answer. */
export function authRoutes(): RouteTable {
  const error = new GrpcError(GrpcCode.FailedPrecondition, 'etcdserver: authentication is not enabled');
  return Object.fromEntries(METHODS.map((name) => [`/etcdserverpb.Auth/${name}`, refusedMethod(error)]));
}
