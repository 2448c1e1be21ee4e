"""Gives new organizations their ids when a delivery has arrived: ids are taken before the transaction opens."""

from collections.abc import Callable
from dataclasses import replace

from shared import delivery as shapes
from shared.outbox.domain import Delivery, Message, ShardDelivery

TakeIds = Callable[[int], list[int]]


def with_ids(delivery: Delivery, take: TakeIds) -> Delivery:
    """The delivery with two ids in each CreateOrganization, for it and its team. Those of repeats are never used.

    Raises IdsExhausted, ClockBehind: the delivery is then sent again.
    """
    count = sum(_creates(message) for shard in delivery.shards for message in shard.messages)
    if not count:
        return delivery
    ids = iter(take(2 * count))

    def filled(message: Message) -> Message:
        if not _creates(message):
            return message
        return replace(message, payload={**message.payload, "organization_id": next(ids), "team_id": next(ids)})

    def filled_shard(shard: ShardDelivery) -> ShardDelivery:
        return replace(shard, messages=tuple(filled(message) for message in shard.messages))

    return replace(delivery, shards=tuple(filled_shard(shard) for shard in delivery.shards))


def organizations_in(delivery: Delivery) -> list[int]:
    """The organizations whose rows a delivery may change."""
    found: list[int] = []
    for shard in delivery.shards:
        for message in shard.messages:
            if _creates(message):
                found.append(shapes.decode(message.payload, shapes.CreateOrganization).organization_id)
            elif message.category == shapes.APPLY_SLUGS.name:
                pairs = shapes.decode(message.payload, shapes.ApplySlugs).pairs
                found.extend(pair.organization_id for pair in pairs)
            elif message.category == shapes.ORGANIZATION_DELETION.name:
                found.append(int(message.subject))
    return found


def _creates(message: Message) -> bool:
    return message.category == shapes.CREATE_ORGANIZATION.name
