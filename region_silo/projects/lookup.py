"""Which project a name means: resolved once, through the cache, before writing, as organizations are.

A project that the caller may not see is told as one that is not there; whether it may is asked of the database.
"""

from collections.abc import Sequence

from region_silo.projects import store
from region_silo.projects.domain import Project, place_of
from shared import errors
from shared.database import Database
from shared.model_cache import ModelCache
from shared.model_cache_gate import CacheGate
from shared.names import Key, project_name
from shared.redis import RedisLink
from shared.rpc.call import current_caller

ProjectCache = ModelCache[Project]


def project_cache(database: Database, link: RedisLink | None, gate: CacheGate, silo: str) -> ProjectCache:
    """The cache of projects. Whoever changes what they show does so inside its `changing(id, ...)`."""

    def by_place(place: str) -> Project | None:
        organization_id, _, slug = place.partition("/")
        return database.read(lambda transaction: store.by_slug(transaction, int(organization_id), slug))

    return ModelCache(
        link,
        gate,
        silo=silo,
        model="project",
        row_type=Project,
        load_by={
            "id": lambda value: database.read(lambda transaction: store.by_id(transaction, value)),
            "place": by_place,
        },
    )


class ProjectLookup:
    """Finds projects of an organization that the caller may see."""

    def __init__(self, database: Database, cache: ProjectCache) -> None:
        self._database = database
        self._cache = cache

    def find(self, organization_id: int, key: Key) -> Project:
        """The project with that id or slug. Raises ProjectNotFound, also when the caller may not see it."""
        if isinstance(key, int):
            found = self._cache.get_from_cache(id=key)
        else:
            found = self._by_slug(organization_id, key)
        if found is None or found.organization_id != organization_id or not self._is_seen(found):
            name = project_name(organization_id, key)
            raise errors.ProjectNotFound(resource=errors.Resource("siloway/Project", name))
        return found

    def ids(self, organization_id: int, keys: Sequence[Key]) -> list[int | None]:
        """The id that each key stands for, None for an unknown slug; an id stands for itself, be it there or not.

        Several slugs are asked for in one statement.
        """
        slugs = {key for key in keys if isinstance(key, str)}
        if len(slugs) > 1:
            found = self._database.read(lambda transaction: store.ids_by_slugs(transaction, organization_id, slugs))
        else:
            found = {}
            for slug in slugs:
                project = self._by_slug(organization_id, slug)
                if project is not None:
                    found[slug] = project.id
        return [key if isinstance(key, int) else found.get(key) for key in keys]

    def _is_seen(self, project: Project) -> bool:
        user_id = current_caller().user_id
        return user_id is None or self._database.read(
            lambda transaction: store.sees(transaction, project.organization_id, project.id, user_id)
        )

    def _by_slug(self, organization_id: int, slug: str) -> Project | None:
        return self._cache.get_from_cache(place=place_of(organization_id, slug))
