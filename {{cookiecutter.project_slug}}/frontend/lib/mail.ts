/** Sends email by SMTP. */
import { APIError } from "better-auth/api";
import { createTransport } from "nodemailer";
import { env } from "./env";

const TIMEOUT = 5_000; // Milliseconds. Users wait this long for an error.

const transport = env.mail && connect(...env.mail);

/** Whether this app can send email. In development without SMTP_URL, it prints emails instead. */
export const canSendMail = transport !== undefined || process.env.NODE_ENV === "development";

/** Query parameters of SMTP_URL are options of Nodemailer. They override the ones here. */
function connect(url: string, from: string) {
  const { hostname, username } = new URL(url);
  const isLoopback = /^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
  const options = {
    url,
    connectionTimeout: TIMEOUT,
    greetingTimeout: TIMEOUT,
    socketTimeout: TIMEOUT,
    // Otherwise, an attacker on the network could make the client send the password unencrypted.
    requireTLS: username !== "" && !isLoopback,
  };
  return createTransport(options, { from });
}

/** Throws an APIError if the mail server cannot be used, independent of any recipient. */
export async function checkMail(): Promise<void> {
  if (!canSendMail) throw emailError("SMTP_URL is not set");
  await transport?.verify().catch((error) => {
    throw emailError(error);
  });
}

/** Sends an email. Throws an APIError if the server does not accept it. */
export async function sendMail(to: string, subject: string, text: string): Promise<void> {
  if (transport) {
    await transport.sendMail({ to, subject, text }).catch((error) => {
      throw emailError(error);
    });
  } else if (canSendMail) {
    console.info(`\nEmail to ${to} (SMTP_URL is not set)\n\n${subject}\n\n${text}\n`);
  }
}

function emailError(reason: Error | string) {
  // Log only the message: the error may contain the email with its link.
  console.error(`Email was not sent: ${reason instanceof Error ? reason.message : reason}`);
  return new APIError("SERVICE_UNAVAILABLE", {
    code: "EMAIL_NOT_SENT",
    message: "The email could not be sent. Try again later.",
  });
}
