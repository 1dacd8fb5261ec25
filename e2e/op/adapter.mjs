// Where oidc-provider keeps things: in memory, one map for each of its models.
// Its own memory adapter forgets after a thousand entries and has no client
// that can change while it runs.

const models = new Map();
const clients = new Map();

// setClient adds a client or replaces it.
export function setClient(metadata) {
  clients.set(metadata.client_id, metadata);
}

export class Adapter {
  constructor(model) {
    this.model = model;
    if (!models.has(model)) models.set(model, new Map());
    this.entries = models.get(model);
  }

  async upsert(id, payload, expiresIn) {
    const expires = expiresIn ? Date.now() + expiresIn * 1000 : Infinity;
    this.entries.set(id, { payload, expires });
  }

  async find(id) {
    if (this.model === 'Client') return clients.get(id);
    const entry = this.entries.get(id);
    if (entry && entry.expires <= Date.now()) {
      this.entries.delete(id);
      return undefined;
    }
    return entry?.payload;
  }

  async findByUid(uid) {
    return [...this.entries.values()].find(({ payload }) => payload.uid === uid)?.payload;
  }

  async findByUserCode() {
    return undefined; // no device flow here
  }

  async consume(id) {
    this.entries.get(id).payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.entries.delete(id);
  }

  async revokeByGrantId(grantId) {
    for (const entries of models.values()) {
      for (const [id, { payload }] of entries) {
        if (payload.grantId === grantId) entries.delete(id);
      }
    }
  }
}
