// A certified OpenID provider (npm's oidc-provider) that behaves like TimeLog's
// login: hybrid flow, PKCE, refresh tokens that work once, revocation, and
// GET /api/ResolveUri beside it. The end-to-end tests start it; see
// ../op_test.go. It is not ours on purpose: what it accepts, others accept.
//
// It is a company's login as well: its second client signs admins in, by the
// plain code flow, with groups as a claim of the userinfo endpoint and
// back-channel logout.
//
// Settings come from the environment: OP_CLIENT_ID, OP_CLIENT_SECRET,
// OP_ADMIN_CLIENT_ID and OP_ADMIN_CLIENT_SECRET, and optionally OP_PORT (0: a free one), OP_REDIRECT_URIS (separated by spaces),
// OP_CLIENT_AUTH, OP_ACCESS_TOKEN_TTL (seconds), OP_AUTO_LOGIN (an account that
// is signed in without asking). When it is ready it prints one line of JSON,
// {"issuer": …}. It ends when its standard input does, so that it does not
// outlive a test run that was killed.
//
// PATCH /_op/settings changes settings while it runs and GET /_op/events tells
// what has happened, in order and without secrets.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';

import Provider from 'oidc-provider';

import { Adapter, setClient } from './adapter.mjs';

const scopes = ['openid', 'offline_access', 'tlp', 'profile', 'email', 'groups'];
const tenant = '/soxdemo';

const settings = {
  redirect_uris: (process.env.OP_REDIRECT_URIS ?? '').split(' ').filter(Boolean),
  access_token_ttl: Number(process.env.OP_ACCESS_TOKEN_TTL ?? 3600),
  auto_login: process.env.OP_AUTO_LOGIN ?? '',
  tenant_url: '',
  admin_redirect_uris: [],
  admin_logout_uri: '',
  groups: {}, // of each account
};
const events = [];

const server = http.createServer();
server.listen(Number(process.env.OP_PORT ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  settings.tenant_url = issuer + tenant;
  serve(issuer);
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});

const stop = () => {
  server.close();
  server.closeAllConnections();
  process.exit(0);
};
process.on('SIGTERM', stop);
process.stdin.on('end', stop).resume();

function required(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set`);
    process.exit(2);
  }
  return value;
}

// applyClients (re)registers the clients. The first is a native one because the
// specification, and so the provider, lets no web client use the implicit half
// of the hybrid flow with a redirect to plain http, and tests have no TLS.
function applyClients() {
  setClient({
    client_id: required('OP_CLIENT_ID'),
    client_secret: required('OP_CLIENT_SECRET'),
    application_type: 'native',
    grant_types: ['authorization_code', 'implicit', 'refresh_token'],
    response_types: ['code id_token', 'code'],
    redirect_uris: settings.redirect_uris,
    token_endpoint_auth_method: process.env.OP_CLIENT_AUTH ?? 'client_secret_post',
  });
  setClient({
    client_id: required('OP_ADMIN_CLIENT_ID'),
    client_secret: required('OP_ADMIN_CLIENT_SECRET'),
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: settings.admin_redirect_uris,
    ...settings.admin_logout_uri && {
      backchannel_logout_uri: settings.admin_logout_uri,
      backchannel_logout_session_required: true,
    },
  });
}

function serve(issuer) {
  applyClients();
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const provider = new Provider(issuer, {
    adapter: Adapter,
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'op-1' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    scopes,
    responseTypes: ['code id_token', 'code'],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => claimsOf(id) }),
    claims: {
      openid: ['sub'],
      profile: ['name'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { logoutSource: page(askLogout), postLogoutSuccessSource: page(() => '<h1>Signed out</h1>') },
    },
    // Its own dispatcher keeps it off this machine, where the tests are.
    fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    routes: {
      authorization: '/connect/authorize',
      token: '/connect/token',
      revocation: '/connect/revocation',
      introspection: '/connect/introspect',
      userinfo: '/connect/userinfo',
      jwks: '/.well-known/jwks',
    },
    ttl: {
      AccessToken: () => settings.access_token_ttl,
      AuthorizationCode: 60,
      Grant: 3600 * 24 * 30,
      IdToken: 300,
      Interaction: 600,
      RefreshToken: 3600 * 24 * 30,
      Session: 3600,
    },
  });
  record(provider);

  const oidc = provider.callback();
  const routes = [
    [/^GET \/interaction\/[^/]+$/, showInteraction],
    [/^POST \/interaction\/[^/]+$/, finishLogin],
    [/^GET \/api\/ResolveUri$/, resolveUri],
    [new RegExp(`^GET ${tenant}/api/whoami$`), whoAmI],
    [/^GET \/favicon\.ico$/, (_provider, _req, res) => res.writeHead(204).end()],
    [/^GET \/_op\/events$/, (_provider, _req, res) => json(res, 200, events)],
    [/^PATCH \/_op\/settings$/, changeSettings],
  ];
  server.on('request', (req, res) => {
    const { pathname } = new URL(req.url, issuer);
    const route = routes.find(([pattern]) => pattern.test(`${req.method} ${pathname}`));
    if (!route) {
      likeIdentityServer(req, issuer);
      oidc(req, res);
      return;
    }
    route[1](provider, req, res).catch?.((err) => {
      console.error(err);
      if (!res.headersSent) json(res, 500, { error: 'internal' });
    });
  });
}

function claimsOf(id) {
  return {
    sub: id,
    name: id.charAt(0).toUpperCase() + id.slice(1),
    email: `${id}@example.com`,
    email_verified: true,
    groups: settings.groups[id] ?? [],
  };
}

// likeIdentityServer adds prompt=consent to authorization requests. OpenID
// Connect Core 11 wants it for offline_access; IdentityServer does not.
function likeIdentityServer(req, issuer) {
  const url = new URL(req.url, issuer);
  if (url.pathname === '/connect/authorize' && !url.searchParams.has('prompt')) {
    url.searchParams.set('prompt', 'consent');
    req.url = url.pathname + url.search;
  }
}

function record(provider) {
  const names = [
    'authorization.accepted', 'authorization.success', 'authorization.error',
    'grant.success', 'grant.error', 'grant.revoked',
    'refresh_token.consumed', 'refresh_token.saved', 'refresh_token.destroyed',
    'access_token.destroyed', 'revocation.error',
    'end_session.success', 'backchannel.success', 'backchannel.error',
  ];
  for (const name of names) {
    provider.on(name, (...args) => {
      const ctx = args.find((a) => a?.oidc);
      const err = args.find((a) => a instanceof Error);
      events.push({
        event: name,
        grant_type: ctx?.oidc?.params?.grant_type,
        response_mode: ctx?.oidc?.params?.response_mode,
        error: err?.error,
        detail: err?.error_detail ?? err?.error_description ?? err?.message,
      });
    });
  }
  provider.on('server_error', (_ctx, err) => console.error(err));
}

// page answers with a small page of our own: the provider's own ones ask for
// fonts elsewhere.
function page(content) {
  return (ctx, form) => {
    ctx.body = `<!doctype html><html lang="en"><title>Company</title><main>${content(form)}</main></html>`;
  };
}

function askLogout(form) {
  return `<h1>Sign out?</h1>${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`;
}

// showInteraction asks who is there, once; consent follows without a question.
async function showInteraction(provider, req, res) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  if (prompt.name === 'consent') {
    const grant = (grantId && await provider.Grant.find(grantId))
      || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(scopes.join(' '));
    await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } },
      { mergeWithLastSubmission: true });
    return;
  }
  if (settings.auto_login) {
    await provider.interactionFinished(req, res, { login: { accountId: settings.auto_login } });
    return;
  }
  res.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  res.end(`<!doctype html>
<html lang="en">
<title>Sign in</title>
<main>
<h1>Sign in</h1>
<form method="post">
<p><label>Account <input name="account" value="anna" autocomplete="username"></label></p>
<p><button name="answer" value="allow">Sign in and allow</button>
<button name="answer" value="deny">Deny</button></p>
</form>
</main>
</html>`);
}

async function finishLogin(provider, req, res) {
  const form = new URLSearchParams(await body(req));
  const result = form.get('answer') === 'allow' && form.get('account')
    ? { login: { accountId: form.get('account') } }
    : { error: 'access_denied', error_description: 'End-User aborted interaction' };
  await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
}

// bearer finds the request's access token among the provider's own.
async function bearer(provider, req) {
  const [scheme, value] = (req.headers.authorization ?? '').split(' ');
  if (scheme !== 'Bearer' || !value) return undefined;
  const token = await provider.AccessToken.find(value);
  return token?.isValid && token.scope?.split(' ').includes('tlp') ? token : undefined;
}

async function resolveUri(provider, req, res) {
  if (!await bearer(provider, req)) return json(res, 401, { error: 'invalid_token' });
  return json(res, 200, { url: settings.tenant_url });
}

async function whoAmI(provider, req, res) {
  const token = await bearer(provider, req);
  if (!token) return json(res, 401, { error: 'invalid_token' });
  return json(res, 200, { account: token.accountId });
}

async function changeSettings(_provider, req, res) {
  const changes = JSON.parse(await body(req));
  for (const [name, value] of Object.entries(changes)) {
    if (typeof settings[name] !== typeof value) {
      return json(res, 400, { error: `there is no setting ${name} of that type` });
    }
  }
  Object.assign(settings, changes);
  applyClients();
  return json(res, 200, settings);
}

async function body(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

async function json(res, status, value) {
  res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  res.end(JSON.stringify(value));
}
