from mnedge.config.settings import Adapter
from mnedge.gateway.llm.accounts import Accounts
from mnedge.gateway.llm.figures import observer_of, show_states
from mnedge.gateway.llm.proxy import Proxy
from mnedge.observe.metrics import Registry
from mnedge.store.memory import MemoryStore


async def test_tokens_seconds_and_states_are_read():
    registry = Registry()
    observer = observer_of(registry)
    observer.tokens("a", "m", "prompt", 5)
    observer.first_byte("a", 0.2)
    observer.answered("a", 0.7)
    observer.opened("a")
    accounts = Accounts(MemoryStore().table, now=lambda: 0.0)
    adapters = [Adapter(name="a", mock=True)]
    show_states(registry, Proxy(adapters, accounts, secret=str, now=lambda: 0.0, environ={}))
    told = registry.exposition().decode()
    assert 'mnedge_llm_tokens_total{adapter="a",model="m",kind="prompt"} 5' in told
    assert 'mnedge_llm_request_seconds_count{adapter="a"} 1' in told
    assert 'mnedge_llm_first_token_seconds_bucket{adapter="a",le="0.25"} 1' in told
    assert 'mnedge_upstream_opened_total{adapter="a"} 1' in told
    assert 'mnedge_upstream_state{adapter="a"} 0' in told
