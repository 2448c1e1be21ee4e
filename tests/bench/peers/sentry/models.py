"""The exported models as Django has them: the fields of the files that are measured, with their unique keys."""

from django.db import models

_CASCADE = models.CASCADE


class Organization(models.Model):
    name = models.CharField(max_length=64)
    slug = models.CharField(max_length=50, unique=True)
    status = models.IntegerField()
    date_added = models.DateTimeField()
    default_role = models.CharField(max_length=32)
    is_test = models.BooleanField()
    flags = models.BigIntegerField()


class User(models.Model):
    password = models.CharField(max_length=128)
    last_login = models.DateTimeField(null=True)
    username = models.CharField(max_length=128, unique=True)
    name = models.CharField(max_length=200)
    email = models.CharField(max_length=75)
    is_staff = models.BooleanField()
    is_active = models.BooleanField()
    is_superuser = models.BooleanField()
    is_managed = models.BooleanField()
    is_sentry_app = models.BooleanField(null=True)
    is_password_expired = models.BooleanField()
    is_unclaimed = models.BooleanField()
    last_password_change = models.DateTimeField(null=True)
    flags = models.BigIntegerField()
    session_nonce = models.CharField(max_length=12, null=True)
    date_joined = models.DateTimeField()
    last_active = models.DateTimeField(null=True)
    avatar_type = models.IntegerField()
    avatar_url = models.CharField(max_length=120, null=True)


class Email(models.Model):
    email = models.CharField(max_length=75, unique=True)
    date_added = models.DateTimeField()


class UserEmail(models.Model):
    user = models.ForeignKey(User, _CASCADE)
    email = models.CharField(max_length=75)
    validation_hash = models.CharField(max_length=32)
    date_hash_added = models.DateTimeField()
    is_verified = models.BooleanField()

    class Meta:
        unique_together = (("user", "email"),)


class Team(models.Model):
    organization = models.ForeignKey(Organization, _CASCADE)
    slug = models.CharField(max_length=50)
    name = models.CharField(max_length=64)
    status = models.IntegerField()
    idp_provisioned = models.BooleanField()
    date_added = models.DateTimeField()

    class Meta:
        unique_together = (("organization", "slug"),)


class Project(models.Model):
    slug = models.CharField(max_length=50)
    name = models.CharField(max_length=200)
    forced_color = models.CharField(max_length=6, null=True)
    organization = models.ForeignKey(Organization, _CASCADE)
    public = models.BooleanField()
    date_added = models.DateTimeField()
    status = models.IntegerField()
    first_event = models.DateTimeField(null=True)
    flags = models.BigIntegerField()
    platform = models.CharField(max_length=64, null=True)
    template = models.BigIntegerField(null=True)

    class Meta:
        unique_together = (("organization", "slug"),)


class OrganizationMember(models.Model):
    organization = models.ForeignKey(Organization, _CASCADE)
    user_id = models.BigIntegerField(null=True, db_index=True)
    email = models.CharField(max_length=75, null=True)
    role = models.CharField(max_length=32)
    flags = models.BigIntegerField()
    token = models.CharField(max_length=64, null=True, unique=True)
    date_added = models.DateTimeField()
    token_expires_at = models.DateTimeField(null=True)
    has_global_access = models.BooleanField()
    inviter_id = models.BigIntegerField(null=True)
    invite_status = models.IntegerField()
    type = models.IntegerField()
    user_is_active = models.BooleanField()
    user_email = models.CharField(max_length=75, null=True)

    class Meta:
        unique_together = (("organization", "user_id"), ("organization", "email"))


class ProjectTeam(models.Model):
    project = models.ForeignKey(Project, _CASCADE)
    team = models.ForeignKey(Team, _CASCADE)

    class Meta:
        unique_together = (("project", "team"),)


class ProjectKey(models.Model):
    project = models.ForeignKey(Project, _CASCADE)
    label = models.CharField(max_length=64, null=True)
    public_key = models.CharField(max_length=32, unique=True)
    secret_key = models.CharField(max_length=32, unique=True)
    roles = models.BigIntegerField()
    status = models.IntegerField()
    date_added = models.DateTimeField()
    rate_limit_count = models.IntegerField(null=True)
    rate_limit_window = models.IntegerField(null=True)
    data = models.JSONField()
    use_case = models.CharField(max_length=32)


class OrganizationMemberTeam(models.Model):
    team = models.ForeignKey(Team, _CASCADE)
    organizationmember = models.ForeignKey(OrganizationMember, _CASCADE)
    is_active = models.BooleanField()
    role = models.CharField(max_length=32, null=True)

    class Meta:
        unique_together = (("team", "organizationmember"),)
