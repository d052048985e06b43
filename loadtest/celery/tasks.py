"""What one would build with Celery in place of kudzu: a task a name, over RabbitMQ and Redis.

The environment says where: COLD_BROKER and COLD_BACKEND are URLs, COLD_DNS is ADDRESS:PORT,
COLD_PREFETCH is how many tasks a process of the worker takes ahead.
"""

import os

import dns.exception
import dns.resolver
from celery import Celery
from kombu import Queue

app = Celery("cold", broker=os.environ["COLD_BROKER"], backend=os.environ["COLD_BACKEND"])
app.conf.update(
    # As safe as kudzu: no name is lost where a worker or the broker dies.
    task_queues=[Queue("cold", durable=True)],
    task_default_queue="cold",
    task_default_delivery_mode="persistent",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # As fast as it gets: none of this is needed.
    worker_prefetch_multiplier=int(os.environ.get("COLD_PREFETCH", "4")),
    worker_send_task_events=False,
    task_send_sent_event=False,
    task_track_started=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    # One client of Redis a process; with gevent each task would make its own.
    result_backend_thread_safe=True,
    redis_max_connections=1000,
    result_extended=False,
    result_expires=3600,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
)

resolver = dns.resolver.Resolver(configure=False)
_address, _, _port = os.environ["COLD_DNS"].rpartition(":")
resolver.nameservers = [_address]
resolver.port = int(_port)
resolver.timeout = 2.0
resolver.lifetime = 10.0
resolver.cache = None


@app.task(name="cold.resolve", autoretry_for=(dns.exception.Timeout, OSError), max_retries=4, retry_backoff=True)
def resolve(name):
    """The addresses of a name; none where there is no such name."""
    try:
        return [record.address for record in resolver.resolve(name, "A", search=False)]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
