"""Each file of tests has a gateway and a cloud ERP of its own; they share the one real ERP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.real_erp.stand import Stand, standing
from tests.systems.tryton60.server import Tryton


@pytest.fixture(scope="module")
def stand(tryton: Tryton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(tmp_path_factory.mktemp("stand"), tryton) as one:
        yield one
