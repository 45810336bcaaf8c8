/**
 * Google and GitHub as an OpenID provider on loopback. Better Auth and the browser must resolve their
 * host names to it. Its sign-in page asks for the data of the account.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider, { interactionPolicy } from "oidc-provider";

const { PORT, SITE_URL, CERTIFICATE, CLIENT_ID, CLIENT_SECRET } = process.env;

/** Makes GitHub, like Google, show the sign-in page each time. */
function alwaysAsking() {
  const policy = interactionPolicy.base();
  const { Check, Prompt } = interactionPolicy;
  policy
    .get("login")
    .checks.add(new Check("asked", "Not asked yet", ({ oidc }) => !oidc.result?.login));
  policy.add(new Prompt({ name: "select_account", requestable: true }), 0);
  return policy;
}

function provider(name, issuer, { scopes, ...configuration }) {
  const accounts = new Map();
  const failing = new Set();
  const server = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        redirect_uris: [`${SITE_URL}/api/auth/callback/${name}`],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    conformIdTokenClaims: false, // Google's ID tokens contain the email address, too.
    cookies: { keys: [CLIENT_SECRET] },
    features: { devInteractions: { enabled: false } },
    findAccount: (_, id) => ({ accountId: id, claims: () => accounts.get(id) }),
    interactions: { policy: alwaysAsking(), url: (_, { uid }) => `/interaction/${uid}` },
    async loadExistingGrant({ oidc }) {
      const { clientId } = oidc.client;
      const grant = new server.Grant({ clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope(scopes.join(" "));
      await grant.save();
      return grant;
    },
    pkce: { required: () => true },
    scopes,
    ...configuration,
  });
  server.use(async (context, next) => {
    await next();
    if (context.oidc?.route !== "token") return;
    if (failing.has(context.oidc.entities.Account?.accountId)) {
      context.status = 500;
      context.body = "Internal Server Error";
    }
  });
  return { server, accounts, failing, name, handle: server.callback() };
}

const google = provider("google", "https://accounts.google.com", {
  scopes: ["openid", "email", "profile"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "picture"] },
  routes: { authorization: "/o/oauth2/v2/auth", token: "/token", jwks: "/oauth2/v3/certs" },
});
const github = provider("github", "https://github.com", {
  scopes: ["read:user", "user:email"],
  routes: { authorization: "/login/oauth/authorize", token: "/login/oauth/access_token" },
});

const PAGE = (name) => `<!doctype html><html lang="en"><title>${name}</title>
<form method="post">
  <label>Account <input name="sub"></label>
  <label>Name <input name="name"></label>
  <label>Email <input name="email"></label>
  <label><input type="checkbox" name="verified"> Verified</label>
  <label><input type="checkbox" name="failing"> Fail afterwards</label>
  <button>Continue</button> <button name="cancel" value="yes">Cancel</button>
</form>`;

async function interact({ server, accounts, failing, name }, request, response) {
  if (request.method === "GET") {
    response.setHeader("Content-Type", "text/html; charset=utf-8").end(PAGE(name));
    return;
  }
  const chunks = await request.toArray();
  const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
  if (form.cancel) {
    const error_description = "The user denied the request";
    await server.interactionFinished(request, response, {
      error: "access_denied",
      error_description,
    });
    return;
  }
  const address = form.email ? { email: form.email, email_verified: "verified" in form } : {};
  const picture = `https://lh3.googleusercontent.com/a/${form.sub}`;
  accounts.set(form.sub, { sub: form.sub, name: form.name, picture, ...address });
  failing[form.failing ? "add" : "delete"](form.sub);
  const login = { accountId: form.sub, remember: false };
  await server.interactionFinished(request, response, { login, select_account: {} });
}

/** GitHub's own endpoints, which are not part of OpenID Connect. */
async function api(request, response) {
  const token = request.headers.authorization?.replace(/^bearer /i, "");
  const found = token && (await github.server.AccessToken.find(token));
  const account = github.accounts.get(found?.accountId);
  if (!account) return send(response, 401, { message: "Bad credentials" });
  const { sub, name, picture, email, email_verified } = account;
  const bodies = {
    "/user": { id: Number(sub), login: `user${sub}`, name, email: null, avatar_url: picture },
    "/user/emails": email ? [{ email, primary: true, verified: email_verified }] : [],
  };
  const body = bodies[request.url];
  send(response, body ? 200 : 404, body ?? { message: "Not Found" });
}

function send(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

const tls = { cert: readFileSync(CERTIFICATE), key: readFileSync(CERTIFICATE.replace(".crt", ".key")) };
createServer(tls, (request, response) => {
  const { host } = request.headers;
  if (host === "api.github.com") return api(request, response);
  const provider = host === "github.com" ? github : google;
  if (request.url.startsWith("/interaction/")) return interact(provider, request, response);
  provider.handle(request, response);
}).listen(Number(PORT), "127.0.0.1");
