"""The rows of one network over many devices and processes."""

from jaxmlp.sharding.rows import data_mesh as data_mesh
from jaxmlp.sharding.rows import replicate as replicate
from jaxmlp.sharding.rows import shard_batch as shard_batch
