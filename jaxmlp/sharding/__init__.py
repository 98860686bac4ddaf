"""Train one network on many devices and processes, each with a part of the rows."""

from jaxmlp.sharding.rows import data_mesh as data_mesh
from jaxmlp.sharding.rows import replicate as replicate
from jaxmlp.sharding.rows import shard_batch as shard_batch
