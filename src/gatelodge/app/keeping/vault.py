"""The vault of this gate, under the root that its settings name."""

import ssl

import gatelodge
from gatelodge.adapters.keys.disk import DiskKeys
from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.keys.vault.envelope import EnvelopeSealer
from gatelodge.adapters.keys.vault.roots import RootMeans, open_root
from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.config.schema import Settings


def open_vault(settings: Settings, keys: DiskKeys, secrets: SecretRefs) -> EnvelopeSealer:
    """What seals and opens its values; nothing is asked of the root yet. Raises Invalid."""
    named = settings.keys
    means = RootMeans(
        kek=keys.kek,
        secrets=secrets,
        client=GuardedClient(ssl.create_default_context, gatelodge.__version__),
        token=named.vault_token,
    )
    former = [open_root(uri, means) for uri in named.former_vault_roots]
    return EnvelopeSealer(open_root(named.vault_root, means), former)
