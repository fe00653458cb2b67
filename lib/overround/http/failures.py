"""Why a call got no answer, in a sentence; the library's own messages quote more than users should see."""

from pathlib import Path

import requests

from overround.http.adapter import AnswerTooLarge, ProviderResting
from overround.http.redaction import redact


def why_no_answer(error: Exception, url: str, certificates: object, took_s: float) -> str:
    """The sentence for an error of a call.

    Parameters
    ----------
    error : Exception
        A `RequestException`; a bare OSError where the file of certificates is not there; or a ValueError
        where the provider redirects to something that is no address.
    url : str
        The address asked for; it is redacted here.
    certificates : object
        The file or folder that the environment names for TLS; anything but text where it names none.
    took_s : float
        Seconds until the error.
    """
    asked = redact(url)
    if isinstance(error, ProviderResting):
        return f"{error}: {asked} was not asked for."
    if isinstance(error, AnswerTooLarge):
        return f"the answer from {asked} is {error}; it was not read to its end."
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return f"the answer from {asked} cannot be used: {error}."
    if isinstance(error, requests.TooManyRedirects):
        return f"{asked} redirects in a circle; an answer is expected after a few redirects."
    if isinstance(error, requests.exceptions.SSLError) and isinstance(certificates, str):
        return (
            f"no answer from {asked} within {took_s:.1f} s (SSLError): its certificate was checked against "
            f"{certificates}, which REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names; it has to be a file of PEM "
            "certificates, with the one that signed the provider's."
        )
    if isinstance(error, ValueError):
        return f"{asked} redirects to what cannot be asked for; an address of http or https is expected."
    if not isinstance(error, requests.RequestException):
        if isinstance(certificates, str) and not Path(certificates).exists():
            return (
                f"{asked} cannot be asked: there are no certificates at {certificates}, which "
                "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names; name a file of PEM certificates or unset it."
            )
        return f"{asked} cannot be asked: {error}."
    return f"no answer from {asked} within {took_s:.1f} s ({type(error).__name__})."
