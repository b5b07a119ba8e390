"""Methods as they go into folders of the peft library, and folders that are not read but looked at."""

from minipeft.files import write_json
from minipeft.peft_files.folders import READERS, in_pefts_form
from minipeft.peft_files.settings import CONFIG, read_settings


def found_again(model, method, fresh, folder):
    """What the reader makes, for the plain model `fresh`, of what the writer makes of an attached method.

    The numbers stay in memory, so that no package is needed; the settings go through their file in `folder`.
    """
    settings, tensors = in_pefts_form(model, method)
    write_json(folder / CONFIG, settings)
    settings = read_settings(folder)
    return READERS[settings["peft_type"]](fresh, settings, tensors)
